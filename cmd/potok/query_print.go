package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/potok-streams/potok/internal/terminal"
	"github.com/potok-streams/potok/views/client"
)

// format is the value of --output.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatCSV   format = "csv"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }
func (f *format) Set(s string) error {
	if v := format(s); v == formatTable || v == formatJSON || v == formatCSV {
		*f = v
		return nil
	}
	return errors.New("must be table, json or csv")
}

// usersWriter writes pages of users in a format. Only one page is held at a time.
type usersWriter struct {
	page func(client.UsersPage) error
	end  func() error
}

func (p *program) usersWriter(f format, all bool) usersWriter {
	nothing := func() error { return nil }
	switch {
	case f == formatJSON && !all:
		return usersWriter{func(page client.UsersPage) error { return p.printJSON(page.Body) }, nothing}
	case f == formatJSON:
		between := `{"users":[`
		return usersWriter{func(page client.UsersPage) error {
			var body struct{ Users []json.RawMessage }
			if err := json.Unmarshal(page.Body, &body); err != nil {
				return err
			}
			var b bytes.Buffer
			for _, u := range body.Users {
				b.WriteString(between)
				b.Write(u)
				between = ",\n"
			}
			if between == `{"users":[` && page.NextCursor == "" { // nobody at all
				b.WriteString(between)
			}
			_, err := p.stdout.Write(terminal.CleanJSON(b.Bytes()))
			return err
		}, func() error { _, err := io.WriteString(p.stdout, "]}\n"); return err }}
	case f == formatCSV:
		w := p.csv("user_id", "name", "email", "event_count", "first_event_at", "last_event_at", "events")
		return usersWriter{func(page client.UsersPage) error {
			var rows [][]string
			for _, u := range page.Users {
				row, err := userFields(u)
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			return w(rows)
		}, nothing}
	default:
		heading, _ := terminal.Headings(p.lang)
		t := terminal.NewTable(terminal.Column{Name: "user_id"}, terminal.Column{Name: "name"}, terminal.Column{Name: "email"}, terminal.Column{Name: "event_count", Right: true})
		return usersWriter{func(page client.UsersPage) error {
			if heading != "" {
				fmt.Fprintln(p.stdout, heading)
				heading = ""
			}
			rows := make([][]string, len(page.Users))
			for i, u := range page.Users {
				rows[i] = []string{u.UserID, text(u.Name, "-"), text(u.Email, "-"), fmt.Sprint(u.EventCount)}
			}
			return t.Write(p.stdout, rows)
		}, nothing}
	}
}

// userFields are a user's fields as text, in the API's order, but for events, which comes last and as JSON.
func userFields(u client.User) ([]string, error) {
	events, err := json.Marshal(u.Events)
	if err != nil {
		return nil, err
	}
	return []string{u.UserID, text(u.Name, ""), text(u.Email, ""), fmt.Sprint(u.EventCount), timeText(u.FirstEventAt), timeText(u.LastEventAt), string(events)}, nil
}

func (p *program) printUser(f format, u client.UserReply) error {
	switch f {
	case formatJSON:
		return p.printJSON(u.Body)
	case formatCSV:
		row, err := userFields(u.User)
		if err != nil {
			return err
		}
		return p.csv("user_id", "name", "email", "event_count", "first_event_at", "last_event_at", "events")([][]string{row})
	default:
		rows := [][]string{
			{"user_id", u.UserID}, {"name", text(u.Name, "-")}, {"email", text(u.Email, "-")}, {"event_count", fmt.Sprint(u.EventCount)},
		}
		types := make([]string, 0, len(u.Events))
		for t := range u.Events {
			types = append(types, t)
		}
		slices.SortFunc(types, func(a, b string) int { // as the view sorts them
			if u.Events[a] != u.Events[b] {
				if u.Events[a] > u.Events[b] {
					return -1
				}
				return 1
			}
			return strings.Compare(a, b)
		})
		for _, t := range types {
			rows = append(rows, []string{"  " + t, fmt.Sprint(u.Events[t])})
		}
		if u.EventsTruncated {
			rows = append(rows, []string{"  …", ""})
		}
		rows = append(rows, []string{"first_event_at", timeText(u.FirstEventAt)}, []string{"last_event_at", timeText(u.LastEventAt)})
		return terminal.NewTable(terminal.Column{Name: p.word("field")}, terminal.Column{Name: p.word("value")}).Write(p.stdout, rows)
	}
}

func (p *program) printStats(f format, s client.Stats) error {
	totals := [][]string{
		{"users_known", fmt.Sprint(s.UsersKnown)},
		{"users_with_events", fmt.Sprint(s.UsersWithEvents)},
		{"events_counted", fmt.Sprint(s.EventsCounted)},
		{"events_of_unknown_users", fmt.Sprint(s.EventsOfUnknownUsers)},
		{"messages_rejected", fmt.Sprint(s.MessagesRejected)},
		{"lost", fmt.Sprint(s.Lost)},
	}
	switch f {
	case formatJSON:
		return p.printJSON(s.Body)
	case formatCSV:
		var rows [][]string
		for _, t := range totals {
			rows = append(rows, []string{t[0], "", "", "", t[1]})
		}
		for _, r := range s.Rejected {
			rows = append(rows, []string{"rejected", r.Topic, "", r.Reason, fmt.Sprint(r.Count)})
		}
		for _, x := range s.Partitions {
			partition := fmt.Sprint(x.Partition)
			rows = append(rows, []string{"position", x.Topic, partition, "", fmt.Sprint(x.Position)},
				[]string{"end", x.Topic, partition, "", fmt.Sprint(x.End)}, []string{"lag", x.Topic, partition, "", fmt.Sprint(x.Lag)})
		}
		return p.csv("name", "topic", "partition", "reason", "value")(rows)
	}
	left := func(name string) terminal.Column { return terminal.Column{Name: p.word(name)} }
	right := func(name string) terminal.Column { return terminal.Column{Name: p.word(name), Right: true} }
	err := terminal.NewTable(left("total"), right("count")).Write(p.stdout, totals)
	if len(s.Rejected) > 0 && err == nil {
		var rows [][]string
		for _, r := range s.Rejected {
			rows = append(rows, []string{r.Topic, r.Reason, fmt.Sprint(r.Count)})
		}
		fmt.Fprintln(p.stdout)
		err = terminal.NewTable(left("topic"), left("rejected"), right("count")).Write(p.stdout, rows)
	}
	if len(s.Partitions) == 0 || err != nil {
		return err
	}
	var rows [][]string
	for _, x := range s.Partitions {
		rows = append(rows, []string{x.Topic, fmt.Sprint(x.Partition), fmt.Sprint(x.Position), fmt.Sprint(x.End), fmt.Sprint(x.Lag)})
	}
	fmt.Fprintln(p.stdout)
	return terminal.NewTable(left("topic"), right("partition"), right("position"), right("end"), right("lag")).Write(p.stdout, rows)
}

// printJSON prints an answer as it came. What a terminal would act on is escaped, which JSON allows.
func (p *program) printJSON(body []byte) error {
	_, err := p.stdout.Write(append(terminal.CleanJSON(bytes.TrimSpace(body)), '\n'))
	return err
}

// csv prints the header when it is first called. Fields are exact, but on a terminal, where they could do things.
func (p *program) csv(header ...string) func(rows [][]string) error {
	w := csv.NewWriter(p.stdout)
	clean := isTerminal(p.stdout)
	begun := false
	return func(rows [][]string) error {
		if !begun {
			begun = true
			rows = slices.Concat([][]string{header}, rows)
		}
		for _, row := range rows {
			for i := range row {
				if clean {
					row[i] = terminal.Clean(row[i])
				}
			}
		}
		return w.WriteAll(rows)
	}
}

func text(s *string, without string) string {
	if s == nil {
		return without
	}
	return *s
}

func timeText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
