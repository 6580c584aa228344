package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/internal/terminal"
)

func (p *program) watch() *cobra.Command {
	var r remote
	var o terminal.Options
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show both results live; q or Ctrl-C ends it",
		Long: "Show both results live. On a terminal they fill the screen; elsewhere they are printed whenever they have changed.\n" +
			"A lost connection is made again, until Ctrl-C, SIGTERM or q.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Interval <= 0 {
				return fmt.Errorf("%w: --interval must be more than 0", errUse)
			}
			if o.Rows < 1 || o.Rows > 1000 {
				return fmt.Errorf("%w: --limit must be 1 to 1000", errUse)
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			o.Client, o.Log = c, p.log
			detach := p.attach(&o)
			defer detach()
			return terminal.Watch(cmd.Context(), o)
		},
	}
	r.flags(cmd.Flags())
	cmd.Flags().DurationVar(&o.Interval, "interval", time.Second, "shortest time between two prints, where it is not a terminal")
	cmd.Flags().IntVar(&o.Rows, "limit", 20, "most users in a print, 1 to 1000, where it is not a terminal")
	return cmd
}

// attach makes o write to standard output: live if that is a terminal that can draw, else as text. The caller calls detach
// after [terminal.Watch].
func (p *program) attach(o *terminal.Options) (detach func()) {
	o.Out, o.Lang = p.stdout, p.lang
	if p.getenv("TERM") == "dumb" {
		return func() {}
	}
	o.Color = p.getenv("NO_COLOR") == ""
	return o.Attach(os.Stdin, p.stdout)
}
