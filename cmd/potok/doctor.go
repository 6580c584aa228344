package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/internal/doctor"
	"github.com/potok-streams/potok/internal/terminal"
)

func (p *program) doctor() *cobra.Command {
	var c connection
	var d dataDir
	o := doctor.Options{Patience: connectTimeout, Observe: 3 * time.Second}
	output := string(formatTable)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check brokers, topics, groups and local state, and say what to do about each finding",
		Long: "Check brokers, security, topics, replication, retention, groups, dead letters and local state, and say what to do about\n" +
			"each finding. Changes nothing. Exit code 3 if there is a warning or an error.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(c.complete(p.getenv), tableOrJSON(output)); err != nil {
				return err
			}
			var err error
			if o.DataDir, err = d.resolve(); err != nil {
				return err
			}
			o.Kafka, o.Topics = c.kafka, c.topics
			report := doctor.Run(cmd.Context(), o)
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if err := p.showFindings(report, output); err != nil {
				return err
			}
			if !report.Healthy() {
				return errDifference
			}
			return nil
		},
	}
	f := cmd.Flags()
	c.flags(f)
	d.flags(f)
	f.DurationVar(&o.Observe, "observe", o.Observe, "how long a group with lag is watched, to see whether it moves")
	f.StringVarP(&output, "output", "o", output, "`format`: table or json")
	completes(cmd, "output", string(formatTable), string(formatJSON))
	return cmd
}

func (p *program) showFindings(r *doctor.Report, output string) error {
	if output == string(formatJSON) {
		return p.printIndented(r)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LEVEL\tCHECK\tSUBJECT\tFINDING")
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Level, f.Check, terminal.Clean(f.Subject), terminal.Clean(f.What))
		if f.Advice != "" {
			fmt.Fprintf(w, "\t\t\t→ %s\n", terminal.Clean(f.Advice))
		}
	}
	return w.Flush()
}
