package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/dlq"
)

func (p *program) dlq() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Work with rejected messages: list, show, replay, purge",
		Long: `Work with rejected messages.

A message is named by its origin, where it was on its raw topic: topic/partition/offset. It is listed once even if the
dead letter queue has it twice.`,
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("%w: say list, show, replay or purge", errUse)
		},
	}
	cmd.AddCommand(p.dlqList(), p.dlqShow(), p.dlqReplay(), p.dlqPurge())
	return cmd
}

// dlqChoice selects entries: by their origins, or all that a filter lets through.
type dlqChoice struct {
	filter dlq.Filter
	all    bool
	since  string
	until  string
}

func (c *dlqChoice) filterFlags(f *pflag.FlagSet) {
	f.StringVar(&c.filter.Topic, "topic", "", "only those from this raw `topic`")
	f.StringVar(&c.filter.Reason, "reason", "", "only those rejected for this `reason`: not_json, wrong_type, missing_field, too_large, too_deep")
	f.StringVar(&c.filter.Stage, "stage", "", "only those rejected by this `stage`: rekey-users, rekey-events")
	f.StringVar(&c.since, "since", "", "only those with a time stamp from this `time` on, RFC 3339, or a duration back from now")
	f.StringVar(&c.until, "until", "", "only those with a time stamp before this `time`, RFC 3339, or a duration back from now")
}

func (c *dlqChoice) complete() (err error) {
	if c.filter.Since, err = pastTime("since", c.since); err != nil {
		return err
	}
	c.filter.Until, err = pastTime("until", c.until)
	return err
}

// check says what is wrong with how a command was told which entries it is about.
func (c *dlqChoice) check(origins []string) error {
	filtered := c.filter != dlq.Filter{}
	switch {
	case c.all && len(origins) > 0:
		return fmt.Errorf("%w: give origins or --all, not both", errUse)
	case !c.all && len(origins) == 0:
		return fmt.Errorf("%w: say which messages: their origins (topic/partition/offset), or --all", errUse)
	case !c.all && filtered:
		return fmt.Errorf("%w: what selects among all messages needs --all", errUse)
	}
	for _, o := range origins {
		if _, _, err := dlq.ParseOrigin(o); err != nil {
			return fmt.Errorf("%w: %w", errUse, err)
		}
	}
	return nil
}

// entries returns those that were chosen, each once. All origins must be known, else nothing is done.
func (c *dlqChoice) entries(q *dlq.Queue, origins []string) (entries []*dlq.Entry, err error) {
	if c.all {
		return q.List(c.filter), nil
	}
	chosen := map[*dlq.Entry]bool{}
	var errs []error
	for _, o := range origins {
		e, err := q.Find(o)
		if err != nil {
			errs = append(errs, err)
		} else if !chosen[e] {
			chosen[e] = true
			entries = append(entries, e)
		}
	}
	if len(errs) > 0 && q.Hidden() {
		errs = append(errs, errors.New("a transaction on the queue is open and hides what is new: try again in a minute"))
	}
	return entries, errors.Join(errs...)
}

func pastTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: --%s %q: write a time like 2026-01-31T12:00:00Z, or a duration like 2h", errUse, flag, s)
	}
	return t, nil
}

// openQueue reads the queue and says what about it people should know.
func (p *program) openQueue(ctx context.Context, c *connection) (*dlq.Queue, error) {
	if err := c.kafka.Ping(ctx, connectTimeout); err != nil {
		return nil, err
	}
	q, err := dlq.Open(ctx, dlq.Config{Kafka: c.kafka, Names: c.topics.Names})
	if err != nil {
		return nil, err
	}
	if n := q.Foreign(); n > 0 {
		p.log.Warn("the queue has records that are no dead letters, they are left alone", "topic", c.topics.Names.DeadLetters(), "records", n)
	}
	return q, nil
}

func (p *program) dlqList() *cobra.Command {
	var c connection
	var choice dlqChoice
	output := formatTable
	limit := 0
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Rejected messages, the most recent last",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(c.complete(p.getenv), choice.complete()); err != nil {
				return err
			}
			if limit < 0 {
				return fmt.Errorf("%w: --limit must not be negative", errUse)
			}
			q, err := p.openQueue(cmd.Context(), &c)
			if err != nil {
				return err
			}
			defer q.Close()
			if q.Hidden() {
				p.log.Warn("a transaction on the queue is open and hides what is new, for less than a minute", "topic", c.topics.Names.DeadLetters())
			}
			if !choice.all {
				choice.filter.State = dlq.StateNew
			}
			entries := q.List(choice.filter)
			if left := len(entries) - limit; limit > 0 && left > 0 {
				entries = entries[left:]
				if output == formatTable && isTerminal(p.stdout) {
					fmt.Fprintf(p.stderr, "there are %d more, older ones\n", left)
				}
			}
			return p.printEntries(output, q, entries)
		},
	}
	f := cmd.Flags()
	c.flags(f)
	choice.filterFlags(f)
	f.BoolVar(&choice.all, "all", false, "those that were replayed, too")
	f.IntVar(&limit, "limit", 0, "most messages, the most recent ones; 0: all")
	f.VarP(&output, "output", "o", "`format`: table, json or csv")
	completes(cmd, "output", string(formatTable), string(formatJSON), string(formatCSV))
	return cmd
}

func (p *program) dlqShow() *cobra.Command {
	var c connection
	output := formatTable
	raw := false
	cmd := &cobra.Command{
		Use:   "show ORIGIN",
		Short: "One rejected message, whole",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.complete(p.getenv); err != nil {
				return err
			}
			if output == formatCSV || raw && output != formatTable {
				return fmt.Errorf("%w: -o %s: use table or json, or --raw alone", errUse, output)
			}
			choice := dlqChoice{}
			if err := choice.check(args); err != nil {
				return err
			}
			q, err := p.openQueue(cmd.Context(), &c)
			if err != nil {
				return err
			}
			defer q.Close()
			entries, err := choice.entries(q, args)
			if err != nil {
				return err
			}
			l, err := q.Letter(cmd.Context(), entries[0])
			if err != nil {
				return err
			}
			if raw {
				_, err := p.stdout.Write(l.Value)
				return err
			}
			return p.printLetter(output, q.Name(entries[0]), entries[0], l)
		},
	}
	f := cmd.Flags()
	c.flags(f)
	f.BoolVar(&raw, "raw", false, "only the value, its bytes as they are")
	f.VarP(&output, "output", "o", "`format`: table or json")
	completes(cmd, "output", string(formatTable), string(formatJSON))
	return cmd
}

func (p *program) dlqReplay() *cobra.Command {
	var c connection
	var choice dlqChoice
	with := ""
	force := false
	cmd := &cobra.Command{
		Use:   "replay ORIGIN...",
		Short: "Put rejected messages back on their raw topic, once, as they are or mended",
		Long: `Put rejected messages back on their raw topic, with their time stamps, keys and headers, as they are or mended.

Each is put back once: the message and the note of it are one transaction, and what has a note is skipped. What is put back
as it is, and is still not valid, is rejected again and is a new entry with a new origin.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, origins []string) error {
			if err := errors.Join(c.complete(p.getenv), choice.complete()); err != nil {
				return err
			}
			if err := choice.check(origins); err != nil {
				return err
			}
			if with != "" && len(origins) != 1 {
				return fmt.Errorf("%w: --with mends one message: give its origin", errUse)
			}
			var mended []byte
			if with != "" {
				var err error
				if mended, err = os.ReadFile(with); err != nil {
					return fmt.Errorf("read --with: %w", err)
				}
			}
			choice.filter.State = dlq.StateNew
			q, err := p.openQueue(cmd.Context(), &c)
			if err != nil {
				return err
			}
			defer q.Close()
			entries, err := choice.entries(q, origins)
			if err != nil {
				return err
			}
			if mended != nil {
				if err := p.checkMended(c.topics.Names, entries[0].Topic, mended, force); err != nil {
					return err
				}
			}
			return p.replay(cmd.Context(), q, entries, mended)
		},
	}
	f := cmd.Flags()
	c.flags(f)
	choice.filterFlags(f)
	f.BoolVar(&choice.all, "all", false, "all messages that were not replayed yet, or those of them that are selected")
	f.StringVar(&with, "with", "", "`file` with the value that the message gets instead of its own")
	f.BoolVar(&force, "force", false, "replay what is in --with even if it would be rejected")
	return cmd
}

// checkMended refuses a value that its stage would reject.
func (p *program) checkMended(n codecs.Names, topic string, value []byte, force bool) (err error) {
	var d codecs.Decoder
	switch topic {
	case n.Users:
		_, err = d.User(value)
	case n.Events:
		_, err = d.Event(value)
	}
	if err == nil {
		return nil
	}
	if !force {
		return fmt.Errorf("what is in --with would be rejected again, nothing was replayed (--force does it all the same): %w", err)
	}
	p.log.Warn("what is in --with will be rejected again", "error", err)
	return nil
}

func (p *program) replay(ctx context.Context, q *dlq.Queue, entries []*dlq.Entry, mended []byte) error {
	replayed, before, failed := 0, 0, 0
	err := q.Replay(ctx, entries, mended, func(o dlq.Outcome) {
		switch name := q.Name(o.Entry); {
		case o.Err != nil:
			failed++
			fmt.Fprintf(p.stderr, "potok: %s was not replayed: %v\n", name, o.Err)
		case o.Already:
			before++
			fmt.Fprintf(p.stdout, "%s was already replayed, at %s\n", name, timeText(&o.Entry.Replayed))
		default:
			replayed++
			fmt.Fprintf(p.stdout, "%s replayed, it is now %s/%d/%d\n", name, o.Entry.Topic, o.Place.Partition, o.Place.Offset)
		}
	})
	if len(entries) != 1 {
		fmt.Fprintf(p.stdout, "%d replayed, %d already replayed before, %d failed\n", replayed, before, len(entries)-replayed-before)
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d messages were not replayed", failed, len(entries))
	}
	return err
}

func (p *program) dlqPurge() *cobra.Command {
	var c connection
	var choice dlqChoice
	replayed, yes := false, false
	before := ""
	cmd := &cobra.Command{
		Use:   "purge ORIGIN...",
		Short: "Forget rejected messages",
		Long: `Forget rejected messages: they are not listed any more and can't be shown or replayed.

Kafka deletes only from the start of a partition. What is forgotten is deleted there as soon as all that is before it was
forgotten, too; a later purge makes up for it.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, origins []string) (err error) {
			if err := errors.Join(c.complete(p.getenv), choice.complete()); err != nil {
				return err
			}
			if before != "" {
				if choice.until != "" {
					return fmt.Errorf("%w: --before and --until are the same here, give one", errUse)
				}
				if choice.filter.Until, err = pastTime("before", before); err != nil {
					return err
				}
			}
			if replayed {
				choice.filter.State = dlq.StateReplayed
			}
			if err := choice.check(origins); err != nil {
				return err
			}
			q, err := p.openQueue(cmd.Context(), &c)
			if err != nil {
				return err
			}
			defer q.Close()
			entries, err := choice.entries(q, origins)
			if err != nil {
				return err
			}
			if !yes && len(entries) > 0 {
				if err := p.confirmPurge(entries); err != nil {
					return err
				}
			}
			r, err := q.Purge(cmd.Context(), entries)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "%d purged; %d records deleted from %s", r.Purged, r.Deleted, c.topics.Names.DeadLetters())
			if r.Kept > 0 {
				fmt.Fprintf(p.stdout, ", %d stay until what is before them is purged, too", r.Kept)
			}
			fmt.Fprintln(p.stdout)
			return nil
		},
	}
	f := cmd.Flags()
	c.flags(f)
	choice.filterFlags(f)
	f.BoolVar(&choice.all, "all", false, "all messages, or those of them that are selected")
	f.BoolVar(&replayed, "replayed", false, "only those that were replayed")
	f.StringVar(&before, "before", "", "only those with a time stamp before this `time`, RFC 3339, or a duration back from now")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirmPurge asks whoever sits at the terminal.
func (p *program) confirmPurge(entries []*dlq.Entry) error {
	fresh := 0
	for _, e := range entries {
		if e.State() == dlq.StateNew {
			fresh++
		}
	}
	fmt.Fprintf(p.stdout, "%d rejected messages would be forgotten, %d of them were never replayed\n", len(entries), fresh)
	if !confirmed(os.Stdin, p.stdout, "Forget them?") {
		return errNotConfirmed
	}
	return nil
}
