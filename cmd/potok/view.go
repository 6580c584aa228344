package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/app"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/processors"
	"github.com/potok-streams/potok/views"
)

// viewing holds the flags of a command that serves.
type viewing struct {
	listen    string
	tokenFile string
	certFile  string
	keyFile   string

	token       string            // after validate
	certificate *x509.Certificate // the server's, after open; nil without TLS
}

func (o *viewing) flags(f *pflag.FlagSet) {
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`host:port` of the page and the HTTP interface")
	f.StringVar(&o.tokenFile, "auth-token-file", "", "`file` with a token that clients must send as Authorization: Bearer")
	f.StringVar(&o.certFile, "http-cert-file", "", "PEM `file` of the server's certificate; with --http-key-file the server speaks TLS")
	f.StringVar(&o.keyFile, "http-key-file", "", "PEM `file` of the server's key")
}

// validate also reads the token: a file that is no good is said before anything is made.
func (o *viewing) validate() (err error) {
	if (o.certFile == "") != (o.keyFile == "") {
		return fmt.Errorf("%w: TLS needs both --http-cert-file and --http-key-file", errUse)
	}
	o.token, err = readToken(o.tokenFile)
	return err
}

// server is the views of a program: the tables' stages, and the HTTP stage, which starts last and stops first.
type server struct {
	tables []app.Stage
	http   []app.Stage
	url    string
}

// open makes the views' stages; the listener is bound when it returns. closing is to be called after the stages have
// stopped.
func (o *viewing) open(c *connection, d *dataDir, log *slog.Logger, registry *prometheus.Registry, health *app.Health, diskFailed func(error)) (s *server, closing func(), err error) {
	names := c.topics.Names
	index := views.NewIndex()
	cfg := engine.Config{Kafka: c.kafka, Dir: filepath.Join(d.path, "view"), Logger: log, OnDiskFailure: diskFailed}
	merge := processors.MergeRows(names, nil)
	observed := func(table string) engine.Config {
		cfg := cfg
		cfg.Observe.Flushed = stageMetrics{registry, "view-" + table}.stores()
		return cfg
	}
	activity := engine.NewView(observed(names.ActivityTable()), names.ActivityTable(), codecs.ActivityCodec{}, merge, engine.Follower{
		Decode:     func(row []byte) (any, error) { return codecs.DecodeSummary(row) },
		Applied:    func(key string, row any) { index.ApplyActivity(key, row.(*codecs.Activity)) },
		Supersedes: func(key string, row any) bool { return index.Supersedes(key, row.(*codecs.Activity).Age()) },
	})
	counts := engine.NewView(observed(names.EventTypesTable()), names.EventTypesTable(), codecs.TallyCodec{}, merge, engine.Follower{
		Decode:  func(row []byte) (any, error) { return codecs.DecodeTally(row) },
		Applied: func(key string, row any) { index.ApplyCount(key, row.(*codecs.Tally)) },
	})
	cl, err := c.kafka.Client()
	if err != nil {
		return nil, nil, err
	}
	meter := views.NewMeter(kadm.NewClient(cl), names, map[string]views.Positions{names.ActivityTable(): activity.Positions, names.EventTypesTable(): counts.Positions})
	web, err := views.NewServer(views.Config{
		Index: index,
		Lookup: func(id string) (*codecs.Activity, error) {
			row, err := activity.Get(id)
			a, _ := row.(*codecs.Activity)
			return a, err
		},
		LagMeter: meter, Readiness: readiness{health, []*engine.View{activity, counts}}, Logger: log, Registry: registry, AuthToken: o.token, Version: version,
		RawTopics: [2]string{names.Users, names.Events},
	})
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	l, scheme, err := o.bind()
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	if o.token == "" && !addr.IP.IsLoopback() {
		log.Warn("anybody who reaches this address can read everything: set --auth-token-file or listen on the loopback only", "listen", addr.String())
	}
	s = &server{url: scheme + "://" + reachable(addr)}
	s.tables = []app.Stage{
		{Name: activity.Name(), Run: untilReplaced(activity), Progress: progress(activity.Progress)},
		{Name: counts.Name(), Run: untilReplaced(counts), Progress: progress(counts.Progress)},
	}
	th, srv := newThreads(), views.HTTPServer(web)
	srv.Handler = th.count(srv.Handler)
	s.http = []app.Stage{httpStage("http", l, srv, log), {Name: "lag", Run: meter.Run}, {Name: "streams", Run: func(ctx context.Context, ready func()) error {
		ready()
		var beside sync.WaitGroup
		defer beside.Wait()
		beside.Go(func() { th.run(ctx) })
		return web.Run(ctx)
	}}}
	return s, cl.Close, nil
}

// reachable is an address that a browser on this machine opens: none opens an unspecified one, such as [::].
func reachable(addr *net.TCPAddr) string {
	if addr.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(addr.Port))
	}
	return addr.String()
}

// untilReplaced runs a view. When its table is made anew the program ends: what it has in memory, and has told those who
// follow it, was the old table's.
func untilReplaced(v *engine.View) func(context.Context, func()) error {
	return func(ctx context.Context, ready func()) error {
		err := v.Run(ctx, ready)
		if errors.Is(err, engine.ErrTableReplaced) {
			return app.Fatal(fmt.Errorf("%w while this view ran (by potok reset?): start it again, and it reads the new one", err))
		}
		return err
	}
}

// readiness is what the server says about the program.
type readiness struct {
	*app.Health
	tables []*engine.View
}

// Restored implements [views.Readiness].
func (r readiness) Restored() bool {
	for _, t := range r.tables {
		if !t.Restored() {
			return false
		}
	}
	return true
}

// bind listens, with TLS if there is a certificate.
func (o *viewing) bind() (l net.Listener, scheme string, err error) {
	if l, err = listen(o.listen, "--listen"); err != nil || o.certFile == "" {
		return l, "http", err
	}
	cert, err := tls.LoadX509KeyPair(o.certFile, o.keyFile)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("%w: load --http-cert-file and --http-key-file: %w", errUse, err), l.Close())
	}
	o.certificate = cert.Leaf
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert},
		NextProtos: []string{"h2", "http/1.1"}, // over HTTP/1.1 a browser has six connections, and each tab's stream takes one
	}), "https", nil
}

func (p *program) view() *cobra.Command {
	var c connection
	var d dataDir
	var o viewing
	cmd := &cobra.Command{
		Use:   "view",
		Short: "Serve the results: page, HTTP interface, live stream",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(c.complete(p.getenv), o.validate()); err != nil {
				return err
			}
			unlock, err := d.open("view")
			if err != nil {
				return err
			}
			defer unlock()
			if err := c.prepare(cmd.Context(), p); err != nil {
				return err
			}
			var health app.Health
			guard := newDiskGuard()
			s, closing, err := o.open(&c, &d, p.log, newRegistry(&health, d.path), &health, guard.failed)
			if err != nil {
				return err
			}
			defer closing()
			p.log.Info("serving", "url", s.url, "brokers", c.kafka.BootstrapServers, "data_dir", d.path)
			return app.Run(cmd.Context(), &health, p.log, stopDeadline, []app.Stage{guard.stage()}, s.tables, s.http)
		},
	}
	f := cmd.Flags()
	c.flags(f)
	d.flags(f)
	o.flags(f)
	return cmd
}
