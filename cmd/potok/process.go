package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/internal/app"
)

func (p *program) process() *cobra.Command {
	var c connection
	var d dataDir
	var o processing
	cmd := &cobra.Command{
		Use:   "process",
		Short: "Run processors",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(c.complete(p.getenv), o.validate()); err != nil {
				return err
			}
			unlock, err := d.open("process")
			if err != nil {
				return err
			}
			defer unlock()
			if err := c.prepare(cmd.Context(), p); err != nil {
				return err
			}
			var health app.Health
			registry := newRegistry(&health, d.path)
			guard := newDiskGuard()
			tiers, err := o.tiers(&c, &d, p, registry, guard)
			if err != nil {
				return err
			}
			own, err := o.ownPort(p.log, &health, registry)
			if err != nil {
				return err
			}
			tiers = append(tiers, own)
			p.log.Info("processing", "stages", o.stages, "brokers", c.kafka.BootstrapServers, "data_dir", d.path)
			return errors.Join(app.Run(cmd.Context(), &health, p.log, stopDeadline, tiers...), o.stopped(&c, &d, p.log))
		},
	}
	f := cmd.Flags()
	c.flags(f)
	d.flags(f)
	o.flags(f)
	return cmd
}

// ownPort returns the stage that serves --metrics-listen, if it is set.
func (o *processing) ownPort(log *slog.Logger, health *app.Health, registry *prometheus.Registry) ([]app.Stage, error) {
	if o.metricsListen == "" {
		return nil, nil
	}
	l, err := listen(o.metricsListen, "--metrics-listen")
	if err != nil {
		return nil, err
	}
	log.Info("serving metrics", "url", "http://"+l.Addr().String())
	return []app.Stage{httpStage("metrics", l, &http.Server{Handler: ownHandler(health, registry), ReadHeaderTimeout: 10 * time.Second}, log)}, nil
}

// ownHandler is what the processors say about themselves.
func ownHandler(health *app.Health, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ok, detail := health.Ready()
		w.Header().Set("Content-Type", "application/json")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": ok, "stages": detail}) // the client went away
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func listen(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: give another %s", address, err, flag)
	}
	return l, nil
}

// httpGrace is how long requests may go on when a server stops.
const httpGrace = 3 * time.Second

// httpStage serves on a listener. It can be run once: the listener is used up. What net/http has to say (a connection that cannot be
// accepted, a TLS handshake that fails, a panic) goes to log, and not to standard error in a form of its own.
func httpStage(name string, l net.Listener, srv *http.Server, log *slog.Logger) app.Stage {
	srv.ErrorLog = slog.NewLogLogger(log.With("stage", name).Handler(), slog.LevelWarn)
	return app.Stage{Name: name, Run: func(ctx context.Context, ready func()) error {
		ready()
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		select {
		case err := <-done:
			return app.Fatal(err)
		case <-ctx.Done():
		}
		grace, cancel := context.WithTimeout(context.Background(), httpGrace)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			return errors.Join(err, srv.Close())
		}
		return nil
	}}
}
