package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/reset"
	"github.com/potok-streams/potok/internal/terminal"
)

var (
	errNotConfirmed = errors.New("nothing was deleted: give --yes to delete all this")
	errWouldLose    = errors.New("nothing was deleted: what is lost by it can't be recomputed: give --accept-loss, beside --yes, if it may go")
)

// memberGrace is how much longer than a session may last reset waits for members that have stopped.
const memberGrace = 2 * time.Second

func (p *program) reset() *cobra.Command {
	var c connection
	var d dataDir
	yes, acceptLoss := false, false
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Delete Potok's own topics, groups and local state, so that the next start recomputes everything",
		Long: "Delete Potok's own topics, consumer groups and local state, so that the next start recomputes everything from the raw\n" +
			"topics, which are not touched. Says first what they do not hold any more. Stop every potok process and view before.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(p.getenv); err != nil {
				return err
			}
			for _, role := range []string{"process", "view"} {
				unlock, err := d.open(role)
				if err != nil {
					return fmt.Errorf("local state can't be deleted now: %w", err)
				}
				defer unlock()
			}
			return p.resetAll(cmd.Context(), &c, &d, yes, acceptLoss)
		},
	}
	f := cmd.Flags()
	c.flags(f)
	d.flags(f)
	f.BoolVar(&yes, "yes", false, "do not ask")
	f.BoolVar(&acceptLoss, "accept-loss", false, "even if something can't be recomputed, because it has expired on the raw topics")
	return cmd
}

func (p *program) resetAll(ctx context.Context, c *connection, d *dataDir, yes, acceptLoss bool) error {
	if err := c.kafka.Ping(ctx, connectTimeout); err != nil {
		return err
	}
	cl, err := c.kafka.Client(kgo.RetryTimeout(connectTimeout))
	if err != nil {
		return err
	}
	defer cl.Close()
	o := reset.Options{Topics: c.topics, Kafka: c.kafka, Admin: kadm.NewClient(cl), DataDir: d.path}
	if b, err := os.ReadFile(filepath.Join(d.path, "instance-id")); err == nil {
		o.Instance = strings.TrimSpace(string(b)) // it is not running: its lock is ours
	}
	plan, err := reset.Make(ctx, o)
	if err != nil {
		return err
	}
	p.showPlan(plan)
	if plan.Empty() {
		return nil
	}
	ask := isTerminal(p.stdout) && isTerminal(os.Stdin)
	switch {
	case len(plan.Losses) > 0 && !acceptLoss:
		return errWouldLose
	case !yes && !ask:
		return errNotConfirmed
	}
	if err := reset.Await(ctx, o, plan, c.kafka.SessionTimeout+memberGrace, func() {
		p.log.Info("waiting for members of the groups that have stopped to be counted out", "limit", c.kafka.SessionTimeout+memberGrace)
	}); err != nil {
		return err
	}
	if !yes && !confirmed(os.Stdin, p.stdout, "Delete all this?") {
		return errNotConfirmed
	}
	return reset.Apply(ctx, o, plan, func(what string) { fmt.Fprintln(p.stdout, "deleted", terminal.Clean(what)) })
}

func (p *program) showPlan(plan *reset.Plan) {
	if plan.Empty() {
		fmt.Fprintln(p.stdout, "there is nothing to delete")
		return
	}
	fmt.Fprintln(p.stdout, "to be deleted:")
	for _, list := range []struct {
		kind  string
		names []string
	}{{"group", plan.Groups}, {"topic", plan.Topics}, {"directory", plan.Local}} {
		for _, name := range list.names {
			fmt.Fprintf(p.stdout, "  %s %s\n", list.kind, terminal.Clean(name))
		}
	}
	if len(plan.Losses) > 0 {
		fmt.Fprintln(p.stdout, "lost for ever, if it is in the results now:")
	}
	for _, l := range plan.Losses {
		fmt.Fprintf(p.stdout, "  %s\n", terminal.Clean(l.What))
	}
}

// confirmed asks, and reports whether the answer is yes. Without an answer it is no.
func confirmed(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprintf(out, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(in).ReadString('\n') // what was read before an error counts, too
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes", "д", "да":
		return true
	default:
		return false
	}
}
