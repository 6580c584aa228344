package views

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

type streamInput struct {
	LastEventID string `header:"Last-Event-ID" doc:"Resume behind this event; an id that this view does not know gets a full snapshot"`
	LastQuery   string `query:"last_event_id" doc:"The same, for who cannot send the header"`
	Snapshot    string `query:"snapshot" enum:"none" doc:"none: begin with what changes from now on"`
	Rows        string `query:"rows" enum:"none" doc:"none: event users says only that rows have changed; it has none of them"`
}

func (s *Server) streamRoute(api huma.API) {
	op := s.operation(streamPath, "stream", "Changed rows as they change: server-sent events users and event-types")
	op.Responses = map[string]*huma.Response{"200": {Description: "Event users has changed rows of result A, event event-types has all of result B. " +
		"Changes are coalesced; a client that starts gets every row. An event users has at most 1,000 rows, and ends with the row that makes it larger than 1 MiB.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	schemas := api.OpenAPI().Components.Schemas
	op.Responses["200"].Extensions = map[string]any{"x-events": map[string]any{"users": schemaOf[UsersEvent](schemas), "event-types": schemaOf[EventTypes](schemas)}}
	huma.Register(api, op, func(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
		if !s.frames.join(s.cfg.MaxStreams) {
			s.metrics.dropped.WithLabelValues(dropRefused).Inc()
			return nil, huma.Error503ServiceUnavailable("there are too many streams")
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			defer s.frames.leave()
			r, w := humachi.Unwrap(hctx)
			s.stream(w, r, in)
		}}, nil
	})
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request, in *streamInput) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Vary", "Accept-Encoding")
	packed := acceptsGzip(r.Header.Get("Accept-Encoding"))
	if packed {
		h.Set("Content-Encoding", "gzip")
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the server's is for requests; unsupported in tests without a connection
	c := &sseClient{s: s, w: w, rc: rc, packed: packed, bare: in.Rows != "", lastTypes: -1}
	c.position, c.resumed = s.resume(in)
	s.metrics.streams.Inc()
	switch err := c.run(r.Context()); {
	case errors.Is(err, errStalled):
		s.metrics.dropped.WithLabelValues(dropStalled).Inc()
	case errors.Is(err, errRender):
		s.metrics.dropped.WithLabelValues(dropFailed).Inc()
	}
}

// Why a stream ends, if not because the client went.
var (
	errRender  = errors.New("rows of a stream could not be read")
	errStalled = errors.New("the client took nothing for too long")
)

// resume returns the position of an event id, if it is one of this index.
func (s *Server) resume(in *streamInput) (position uint64, known bool) {
	id := in.LastEventID
	if id == "" {
		id = in.LastQuery
	}
	epoch, number, _ := strings.Cut(id, "-")
	if id == "" && in.Snapshot != "" {
		s.cfg.Index.flush()
		return s.cfg.Index.head(), true
	}
	position, err := strconv.ParseUint(number, 10, 64)
	if err != nil || epoch != s.cfg.Index.epoch || position > s.cfg.Index.head() {
		return 0, false
	}
	return position, true
}

// sseClient is one stream: a position, and nothing that grows.
type sseClient struct {
	s         *Server
	w         io.Writer
	rc        *http.ResponseController
	packed    bool
	bare      bool // wants no rows
	position  uint64
	resumed   bool
	lastTypes int64 // version of the event types sent last
}

// run sends until the client goes, stalls, or the server closes.
func (c *sseClient) run(ctx context.Context) error {
	begin := c.own("retry: 1000\n\n")
	if c.packed {
		begin = append([]byte(gzipHeader), begin...)
	}
	if err := c.write(begin); err != nil {
		return err
	}
	heartbeat := time.NewTicker(c.s.cfg.Heartbeat)
	defer heartbeat.Stop()
	for first := true; ; first = false {
		wake := c.s.frames.changed()
		if err := c.sendTypes(); err != nil {
			return err
		}
		more, err := c.sendUsers(first && !c.resumed)
		if err != nil {
			return err
		}
		if more {
			select {
			case <-c.s.closed:
				return nil
			default:
				continue
			}
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-c.s.closed:
				return nil
			case <-wake:
				waiting = false
			case <-heartbeat.C:
				if err := c.write(c.own(":\n\n")); err != nil {
					return err
				}
			}
		}
	}
}

// sendUsers sends the next stretch of changes; more says that there was one.
func (c *sseClient) sendUsers(snapshot bool) (more bool, err error) {
	if c.bare {
		head := c.s.frames.position()
		if !snapshot && c.position >= head {
			return false, nil
		}
		c.position = head
		return false, c.write(c.own(c.s.frames.begin("users", head) + "data: {\"users\":[]}\n\n"))
	}
	fr := c.s.frames.after(c.position)
	if snapshot {
		fr = c.s.frames.snapshot()
	}
	if fr == nil {
		return false, nil
	}
	e, err := c.s.frames.render(fr)
	if err != nil {
		c.s.cfg.Logger.Error("stream failed", "error", err)
		return false, fmt.Errorf("%w: %w", errRender, err)
	}
	if fr.to <= c.position && !snapshot {
		return true, nil // it ends in front of us, now that it is cut
	}
	c.position = fr.to
	if len(fr.rows) == 0 && !snapshot {
		return true, nil
	}
	text, err := e.text(&c.s.frames.packer, c.packed)
	if err != nil {
		return false, err
	}
	return true, c.write(text)
}

func (c *sseClient) sendTypes() error {
	if int64(c.s.cfg.Index.typesVersion()) == c.lastTypes {
		return nil
	}
	e, version, err := c.s.frames.renderTypes()
	if err != nil {
		return err
	}
	data, err := e.text(&c.s.frames.packer, c.packed)
	if err != nil {
		return err
	}
	c.lastTypes = int64(version)
	return c.write(c.own(c.s.frames.begin("event-types", c.position)), data)
}

// own is a text of this stream alone.
func (c *sseClient) own(text string) []byte {
	if c.packed {
		return stored(text)
	}
	return []byte(text)
}

// writeChunk is how much a client must take within StreamTimeout: a slow one may need long for an event.
const writeChunk = 32 << 10

// write sends parts of an event together, or fails when the client takes nothing for too long. HTTP/2 may say then that the client
// has gone, so it is the time that tells why. And it ends a stream at its deadline even if there is nothing to write, so none is left.
func (c *sseClient) write(parts ...[]byte) (err error) {
	var deadline time.Time
	defer func() {
		if err != nil && !time.Now().Before(deadline) {
			err = fmt.Errorf("%w: %w", errStalled, err)
		}
	}()
	for _, part := range parts {
		for len(part) > 0 {
			n := min(len(part), writeChunk)
			deadline = time.Now().Add(c.s.cfg.StreamTimeout)
			_ = c.rc.SetWriteDeadline(deadline) // unsupported in tests without a connection
			if _, err := c.w.Write(part[:n]); err != nil {
				return err
			}
			c.s.metrics.sent.Add(float64(n))
			part = part[n:]
		}
	}
	if err := c.rc.Flush(); err != nil {
		return err
	}
	_ = c.rc.SetWriteDeadline(time.Time{})
	return nil
}
