package views

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

// Server is the HTTP interface. It answers as soon as it is made, and says 503 until the tables are restored; streams and
// throughput move while Run does.
type Server struct {
	cfg        Config
	rows       renderer
	frames     *frames
	throughput *Throughput
	metrics    *metrics
	mux        *chi.Mux
	api        huma.API

	measurements measurements

	closing sync.Once
	closed  chan struct{} // ends the streams
}

// NewServer returns a server, or every problem with its configuration. It registers its metrics.
func NewServer(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	rows := renderer{cfg.Index, cfg.Lookup}
	s := &Server{
		cfg:        cfg,
		rows:       rows,
		frames:     newFrames(rows, cfg.Now),
		throughput: NewThroughput(cfg.RawTopics[0], cfg.RawTopics[1]),
		mux:        chi.NewMux(),
		closed:     make(chan struct{}),

		measurements: measurements{meter: cfg.LagMeter},
	}
	if s.metrics, err = newMetrics(cfg, s.frames); err != nil {
		return nil, err
	}
	return s, s.routes()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Run keeps streams and throughput moving until the context ends, and then ends the streams.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	s.throughput.Sample(s.cfg.LagMeter.Latest())
	for {
		dirty := s.cfg.Index.dirty
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
			s.throughput.Sample(s.cfg.LagMeter.Latest())
		case <-dirty:
			if !s.cfg.Readiness.Restored() { // nobody reads: a restored table is sorted at once
				s.cfg.Index.touch()
			} else {
				s.frames.publish()
			}
			select { // changes of the next moments go together
			case <-time.After(s.pause()):
			case <-ctx.Done():
			}
		}
	}
}

// pause is how long changes are gathered. The more streams there are, the more each round of them costs, and the more of a
// row's states in between are better left out. With none, listings bring what they need up to date themselves; those that come
// one after the other find it done, but for the last few milliseconds.
func (s *Server) pause() time.Duration {
	const perStream, unread, longest = time.Millisecond, 250 * time.Millisecond, time.Second
	d, n := s.cfg.Coalesce, s.frames.readerCount()
	if n == 0 && s.cfg.Index.sinceListed() > time.Second {
		return max(d, unread)
	}
	return max(d, min(longest, d+time.Duration(n)*perStream))
}

// Close ends the streams; other requests go on. It may be called more than once.
func (s *Server) Close() { s.closing.Do(func() { close(s.closed) }) }

// HTTPServer returns an http.Server for s with limits on what a client can send and how long it can take. Its Shutdown
// ends the streams.
func HTTPServer(s *Server) *http.Server {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // streams lift this and the next
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    512 << 10, // a cursor holds a name, which can have 256 KiB
		// The deadlines of streams end streams. A connection that takes nothing does not take that, either.
		HTTP2: &http.HTTP2Config{WriteByteTimeout: s.cfg.StreamTimeout},
	}
	srv.RegisterOnShutdown(s.Close)
	return srv
}
