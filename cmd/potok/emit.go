package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/emitters"
)

func (p *program) emit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "emit", Short: "Publish made-up users and events", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return fmt.Errorf("%w: say users or events", errUse) },
	}
	cmd.AddCommand(p.emitUsers(), p.emitEvents())
	return cmd
}

func (p *program) emitUsers() *cobra.Command {
	var c connection
	cfg := emitters.DefaultUsersConfig()
	print := false
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Publish made-up users, one every 3 s by default",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(p.getenv); err != nil {
				return err
			}
			cfg.Topic, cfg.Print = c.topics.Names.Users, p.printer(print)
			if err := cfg.Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUse, err)
			}
			if err := c.prepareRaw(cmd.Context(), p); err != nil {
				return err
			}
			cl, err := c.kafka.Client()
			if err != nil {
				return err
			}
			defer cl.Close()
			stats, err := emitters.EmitUsers(cmd.Context(), cfg, cl)
			p.log.Info("published users", "topic", cfg.Topic, "published", stats.Published)
			return err
		},
	}
	f := cmd.Flags()
	c.flags(f)
	f.DurationVar(&cfg.Every, "every", cfg.Every, "pause from one user to the next")
	f.Float64Var(&cfg.Rate, "rate", cfg.Rate, "users a second, instead of --every")
	f.IntVar(&cfg.Count, "count", cfg.Count, "end after so many users; 0: never")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "the same seed gives the same users, but for the time stamps")
	f.BoolVar(&print, "print", false, "print each message")
	return cmd
}

func (p *program) emitEvents() *cobra.Command {
	var c connection
	cfg := emitters.DefaultEventsConfig()
	print := false
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Publish made-up events, a few for each user that is published",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(p.getenv); err != nil {
				return err
			}
			cfg.UsersTopic, cfg.EventsTopic, cfg.Print, cfg.Logger = c.topics.Names.Users, c.topics.Names.Events, p.printer(print), p.log
			if err := cfg.Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUse, err)
			}
			if err := c.prepareRaw(cmd.Context(), p); err != nil {
				return err
			}
			stats, err := emitters.EmitEvents(cmd.Context(), cfg, c.kafka)
			p.log.Info("published events", "topic", cfg.EventsTopic, "users", stats.Users, "published", stats.Published, "skipped", stats.Skipped)
			return err
		},
	}
	f := cmd.Flags()
	c.flags(f)
	f.StringVar(&cfg.Group, "group", cfg.Group, "consumer `group` that reads the users")
	f.IntVar(&cfg.Pages, "pages", cfg.Pages, "how many pages the site has")
	f.IntVar(&cfg.Min, "min", cfg.Min, "fewest events for a user")
	f.IntVar(&cfg.Max, "max", cfg.Max, "most events for a user")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "the same seed gives the same events for the same users, but for the time stamps")
	f.DurationVar(&cfg.IdleExit, "idle-exit", cfg.IdleExit, "end when no user came for so long; 0: never")
	f.BoolVar(&print, "print", false, "print each message")
	return cmd
}

// printer returns what prints a message on a line of its own, or nil.
func (p *program) printer(on bool) func(line []byte) {
	if !on {
		return nil
	}
	return func(line []byte) { printLine(p.stdout, line) }
}

func printLine(w io.Writer, line []byte) { fmt.Fprintf(w, "%s\n", line) }
