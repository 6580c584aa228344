package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/internal/app"
)

func (p *program) runAll() *cobra.Command {
	var c connection
	var d dataDir
	var o processing
	var v viewing
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run processors and serve the results, in one process",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(c.complete(p.getenv), o.validate(), v.validate()); err != nil {
				return err
			}
			return p.serveAll(cmd.Context(), &c, &d, &o, &v, nil)
		},
	}
	f := cmd.Flags()
	c.flags(f)
	d.flags(f)
	o.flags(f)
	v.flags(f)
	return cmd
}

// serveAll runs processors and views until ctx ends. more, if not nil, returns further stages, once the topics are there
// and the server's address is known.
func (p *program) serveAll(ctx context.Context, c *connection, d *dataDir, o *processing, v *viewing, more func(url string) ([]app.Stage, error)) error {
	for _, role := range []string{"process", "view"} {
		unlock, err := d.open(role)
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := c.prepare(ctx, p); err != nil {
		return err
	}
	var health app.Health
	registry := newRegistry(&health, d.path)
	guard := newDiskGuard()
	all, err := o.tiers(c, d, p, registry, guard)
	if err != nil {
		return err
	}
	s, closing, err := v.open(c, d, p.log, registry, &health, guard.failed)
	if err != nil {
		return err
	}
	defer closing()
	p.log.Info("running", "url", s.url, "brokers", c.kafka.BootstrapServers, "data_dir", d.path)
	own, err := o.ownPort(p.log, &health, registry)
	if err != nil {
		return err
	}
	all = append(all, s.tables, own, s.http)
	if more != nil {
		stages, err := more(s.url)
		if err != nil {
			return err
		}
		all = append(all, stages)
	}
	return errors.Join(app.Run(ctx, &health, p.log, stopDeadline, all...), o.stopped(c, d, p.log))
}
