package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/internal/terminal"
	"github.com/potok-streams/potok/internal/verify"
)

// errUnverified ends a verification that found no difference, and could not look everywhere.
var errUnverified = errors.New("not everything could be verified")

// settleTime is how long a row may take to the view once its table has passed the fixed ends.
const settleTime = 30 * time.Second

func (p *program) verify() *cobra.Command {
	var c connection
	var r remote
	o := verify.Options{Settle: settleTime, MaxDifferences: 100}
	timeout := 10 * time.Minute
	output := string(formatTable)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute both results from the raw topics and compare them with what a view serves",
		Long: "Recompute both results from the raw topics and compare them with what a view serves. The raw topics are read up to\n" +
			"where they end at the start; each row is compared at its own marks, so that writes may go on.\n" +
			"Exit code 0 means that all is equal, 3 that something differs, 1 that raw data have expired or it failed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(c.complete(p.getenv), tableOrJSON(output)); err != nil {
				return err
			}
			if timeout <= 0 || o.MaxDifferences < 0 {
				return fmt.Errorf("%w: --timeout must be more than 0 and --max-differences not less", errUse)
			}
			server, err := r.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("not done after %s: give a longer --timeout", timeout))
			defer cancel()
			if err := c.kafka.Ping(ctx, connectTimeout); err != nil {
				return err
			}
			o.Kafka, o.Names, o.Server, o.Logger = c.kafka, c.topics.Names, server, p.log
			report, err := verify.Run(ctx, o)
			if err != nil {
				return err
			}
			if err := p.showVerification(report, output); err != nil {
				return err
			}
			switch {
			case report.DifferenceCount > 0:
				return errDifference
			case !report.Equal:
				return errUnverified
			}
			return nil
		},
	}
	f := cmd.Flags()
	c.flags(f)
	r.flags(f)
	f.DurationVar(&timeout, "timeout", timeout, "give up after so long")
	f.IntVar(&o.MaxDifferences, "max-differences", o.MaxDifferences, "most differences to print; all are counted")
	f.StringVarP(&output, "output", "o", output, "`format`: table or json")
	completes(cmd, "output", string(formatTable), string(formatJSON))
	return cmd
}

// tableOrJSON checks the value of --output.
func tableOrJSON(output string) error {
	if output != string(formatTable) && output != string(formatJSON) {
		return fmt.Errorf("%w: -o %q: use table or json", errUse, output)
	}
	return nil
}

// printIndented prints a command's own result as JSON. What a terminal would act on is escaped, which JSON allows.
func (p *program) printIndented(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(append(terminal.CleanJSON(b), '\n'))
	return err
}

func (p *program) showVerification(r *verify.Report, output string) error {
	if output == string(formatJSON) {
		return p.printIndented(r)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(p.stdout, "%s %q: %s\n", d.Kind, d.Key, terminal.Clean(d.What))
	}
	if n := r.DifferenceCount - len(r.Differences); n > 0 {
		fmt.Fprintf(p.stdout, "and %d more: --max-differences shows them\n", n)
	}
	for _, u := range r.Unverified {
		if u.Rows > 0 {
			fmt.Fprintf(p.stdout, "not verified (%d rows): %s\n", u.Rows, terminal.Clean(u.What))
		} else {
			fmt.Fprintf(p.stdout, "not verified: %s\n", terminal.Clean(u.What))
		}
	}
	fmt.Fprintln(p.stdout, terminal.Clean(r.Summary()))
	switch {
	case r.DifferenceCount > 0:
		fmt.Fprintf(p.stdout, "%d differences\n", r.DifferenceCount)
	case r.Equal:
		fmt.Fprintln(p.stdout, "equal")
	default:
		fmt.Fprintln(p.stdout, "no differences in what could be verified")
	}
	return nil
}
