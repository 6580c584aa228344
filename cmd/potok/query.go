package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/potok-streams/potok/internal/terminal"
	"github.com/potok-streams/potok/views/client"
)

// asking is what the sub-commands of query have in common.
type asking struct {
	remote
	format format
}

func (a *asking) flags(cmd *cobra.Command) {
	a.format = formatTable
	a.remote.flags(cmd.Flags())
	cmd.Flags().VarP(&a.format, "output", "o", "`format`: table, json (as the view answers) or csv")
	completes(cmd, "output", string(formatTable), string(formatJSON), string(formatCSV))
}

func completes(cmd *cobra.Command, flag string, values ...string) {
	// It fails only for a flag that is not there, or twice, which a test would see.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func (p *program) query() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Ask a view: users, one user, event types, totals",
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("%w: say users, user, event-types or stats", errUse)
		},
	}
	cmd.AddCommand(p.queryUsers(), p.queryUser(), p.queryEventTypes(), p.queryStats())
	return cmd
}

func (p *program) queryUsers() *cobra.Command {
	var a asking
	var q client.UsersQuery
	all := false
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Users with their event counts",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 || q.Limit > 1000 {
				return fmt.Errorf("%w: --limit must be 1 to 1000; --all shows all", errUse)
			}
			if !slices.Contains(sorts(), string(q.Sort)) {
				return fmt.Errorf("%w: --sort must be one of %s", errUse, strings.Join(sorts(), ", "))
			}
			if all && q.Limit == 100 { // the default: fewer questions
				q.Limit = 1000
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			out := p.usersWriter(a.format, all)
			for page, err := range c.UserPages(cmd.Context(), q) {
				if err != nil {
					return err
				}
				if err := out.page(page); err != nil {
					return err
				}
				if !all {
					if page.NextCursor != "" && a.format == formatTable && isTerminal(p.stdout) {
						fmt.Fprintln(p.stderr, p.word(moreUsers))
					}
					break
				}
			}
			return out.end()
		},
	}
	a.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&q.Limit, "limit", 100, "most users, 1 to 1000; with --all, most at a time")
	f.StringVar((*string)(&q.Sort), "sort", string(client.ByEventCountDesc), "`order`: "+strings.Join(sorts(), ", "))
	f.StringVarP(&q.Query, "search", "q", "", "only users with this `text` in name, email or id")
	f.StringVar(&q.Cursor, "cursor", "", "go on behind a page: its `next_cursor`")
	f.BoolVar(&q.IncludeAll, "include-all", false, "users without events and events without a user, too")
	f.BoolVar(&all, "all", false, "all pages")
	completes(cmd, "sort", sorts()...)
	return cmd
}

func sorts() []string {
	return []string{string(client.ByEventCountDesc), string(client.ByEventCount), string(client.ByUserID), string(client.ByName), string(client.ByLastEventDesc)}
}

func (p *program) queryUser() *cobra.Command {
	var a asking
	cmd := &cobra.Command{
		Use:   "user ID",
		Short: "One user",
		Long:  "One user, by its id. A negative number is an id, too; another id that begins with a dash goes behind --.",
		// The ids of the raw topics are often negative numbers, which pflag takes for flags: they are moved behind a --.
		DisableFlagParsing: true,
		Args: func(cmd *cobra.Command, args []string) error {
			cmd.DisableFlagParsing = false
			err := cmd.ParseFlags(numbersLast(args))
			cmd.DisableFlagParsing = true
			if err != nil {
				return err
			}
			if help, err := cmd.Flags().GetBool("help"); err == nil && help {
				return pflag.ErrHelp
			}
			return cobra.ExactArgs(1)(cmd, cmd.Flags().Args())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			id := cmd.Flags().Arg(0)
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.User(cmd.Context(), id)
			if problem := (*client.Problem)(nil); errors.As(err, &problem) && problem.Status == http.StatusNotFound && problem.Detail != "" {
				return fmt.Errorf("user %q is not known: there is neither a user nor an event with this id", id)
			}
			if err != nil {
				return err
			}
			return p.printUser(a.format, u)
		},
	}
	a.flags(cmd)
	return cmd
}

// numbersLast moves negative numbers behind a --, where they are not flags.
func numbersLast(args []string) []string {
	var before, numbers []string
	for i, arg := range args {
		if arg == "--" {
			return slices.Concat(before, []string{"--"}, numbers, args[i+1:])
		}
		if len(arg) > 1 && arg[0] == '-' && strings.Trim(arg[1:], "0123456789") == "" {
			numbers = append(numbers, arg)
		} else {
			before = append(before, arg)
		}
	}
	return slices.Concat(before, []string{"--"}, numbers)
}

func (p *program) queryEventTypes() *cobra.Command {
	var a asking
	cmd := &cobra.Command{
		Use:   "event-types",
		Short: "Event types with their counts",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			t, err := c.EventTypes(cmd.Context())
			if err != nil {
				return err
			}
			rows := make([][]string, len(t.Types))
			for i, row := range t.Types {
				rows[i] = []string{row.Event, fmt.Sprint(row.Count)}
			}
			switch a.format {
			case formatJSON:
				return p.printJSON(t.Body)
			case formatCSV:
				return p.csv("event", "count")(rows)
			default:
				_, heading := terminal.Headings(p.lang)
				fmt.Fprintln(p.stdout, heading)
				return terminal.NewTable(terminal.Column{Name: "event"}, terminal.Column{Name: "count", Right: true}).Write(p.stdout, rows)
			}
		},
	}
	a.flags(cmd)
	return cmd
}

func (p *program) queryStats() *cobra.Command {
	var a asking
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Totals, and how far the raw topics are read",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Stats(cmd.Context())
			if err != nil {
				return err
			}
			return p.printStats(a.format, s)
		},
	}
	a.flags(cmd)
	return cmd
}
