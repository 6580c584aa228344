package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/potok-streams/potok/internal/dlq"
	"github.com/potok-streams/potok/internal/terminal"
)

// entryJSON is an entry of the dead letter queue as programs get it.
type entryJSON struct {
	Origin     string     `json:"origin"`
	Topic      string     `json:"topic"`
	TopicID    string     `json:"topic_id,omitempty"`
	Partition  int32      `json:"partition"`
	Offset     int64      `json:"offset"`
	Time       time.Time  `json:"time"`
	Reason     string     `json:"reason"`
	Message    string     `json:"message"`
	Stage      string     `json:"stage"`
	Size       int        `json:"size"`
	State      string     `json:"state"`
	ReplayedAt *time.Time `json:"replayed_at,omitempty"`
}

func newEntryJSON(name string, e *dlq.Entry) entryJSON {
	j := entryJSON{
		Origin: name, Topic: e.Topic, TopicID: e.TopicID, Partition: e.Partition, Offset: e.Offset, Time: e.Time.UTC(),
		Reason: e.Reason, Message: e.Message, Stage: e.Stage, Size: e.Size, State: e.State(),
	}
	if !e.Replayed.IsZero() {
		at := e.Replayed.UTC()
		j.ReplayedAt = &at
	}
	return j
}

func (p *program) printEntries(f format, q *dlq.Queue, entries []*dlq.Entry) error {
	switch f {
	case formatJSON:
		list := make([]entryJSON, len(entries))
		for i, e := range entries {
			list[i] = newEntryJSON(q.Name(e), e)
		}
		return p.marshal(struct {
			Entries []entryJSON `json:"entries"`
		}{list})
	case formatCSV:
		rows := make([][]string, len(entries))
		for i, e := range entries {
			rows[i] = []string{q.Name(e), timeText(&e.Time), e.Reason, e.Message, fmt.Sprint(e.Size), e.State(), e.Stage, e.TopicID}
		}
		return p.csv("origin", "time", "reason", "message", "size", "state", "stage", "topic_id")(rows)
	default:
		rows := make([][]string, len(entries))
		for i, e := range entries {
			rows[i] = []string{q.Name(e), timeText(&e.Time), e.Reason, fmt.Sprint(e.Size), e.State(), e.Message}
		}
		return terminal.NewTable(terminal.Column{Name: "origin"}, terminal.Column{Name: "time"}, terminal.Column{Name: "reason"},
			terminal.Column{Name: "size", Right: true}, terminal.Column{Name: "state"}, terminal.Column{Name: "message"}).Write(p.stdout, rows)
	}
}

// marshal prints a value as JSON that no terminal acts on.
func (p *program) marshal(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := p.stdout.Write(terminal.CleanJSON(b.Bytes()))
	return err
}

// textOrBytes sets one of two JSON fields: text where bytes are UTF-8, else base64. Both are null when there are no bytes.
func textOrBytes(b []byte) (text *string, raw []byte) {
	switch {
	case b == nil:
		return nil, nil
	case utf8.Valid(b):
		s := string(b)
		return &s, nil
	default:
		return nil, b
	}
}

// maxShown is how much of a key, value or header people are shown.
const maxShown = 64 << 10

func (p *program) printLetter(f format, name string, e *dlq.Entry, l dlq.Letter) error {
	if f == formatJSON {
		type header struct {
			Key   string  `json:"key"`
			Text  *string `json:"value"`
			Bytes []byte  `json:"value_base64,omitempty"`
		}
		out := struct {
			entryJSON
			Letters    []string `json:"letters"`
			Headers    []header `json:"headers"`
			Key        *string  `json:"key"`
			KeyBytes   []byte   `json:"key_base64,omitempty"`
			Value      *string  `json:"value"`
			ValueBytes []byte   `json:"value_base64,omitempty"`
		}{entryJSON: newEntryJSON(name, e), Headers: []header{}}
		for _, at := range e.Letters {
			out.Letters = append(out.Letters, fmt.Sprintf("%d/%d", at.Partition, at.Offset))
		}
		for _, h := range l.Headers {
			text, raw := textOrBytes(h.Value)
			out.Headers = append(out.Headers, header{h.Key, text, raw})
		}
		out.Key, out.KeyBytes = textOrBytes(l.Key)
		out.Value, out.ValueBytes = textOrBytes(l.Value)
		return p.marshal(out)
	}
	var b strings.Builder
	line := func(field, text string) { fmt.Fprintf(&b, "%-10s %s\n", field, text) }
	line("origin", name)
	if e.TopicID != "" {
		line("topic_id", e.TopicID)
	}
	line("time", timeText(&e.Time))
	line("reason", terminal.Clean(e.Reason))
	line("message", terminal.Clean(e.Message))
	line("stage", terminal.Clean(e.Stage))
	line("state", e.State())
	if !e.Replayed.IsZero() {
		line("replayed", timeText(&e.Replayed))
	}
	for _, h := range l.Headers {
		line("header", escaped([]byte(h.Key))+": "+escaped(h.Value))
	}
	line("key", escaped(l.Key))
	line("value", escaped(l.Value))
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}

// escaped shows bytes in a line that no terminal acts on: what is not printable is written as Go would, and so are bytes that
// are not UTF-8. Long ones are cut.
func escaped(data []byte) string {
	if data == nil {
		return "(null)"
	}
	more := ""
	if n := len(data) - maxShown; n > 0 {
		more = fmt.Sprintf("… (%d bytes more: --raw and -o json have all of the value)", n)
		data = data[:maxShown]
	}
	var b strings.Builder
	for len(data) > 0 {
		n := 0
		for n < len(data) {
			if r, width := utf8.DecodeRune(data[n:]); r == utf8.RuneError && width == 1 {
				break
			} else {
				n += width
			}
		}
		b.WriteString(terminal.Clean(string(data[:n])))
		if n < len(data) {
			fmt.Fprintf(&b, `\x%02x`, data[n])
			n++
		}
		data = data[n:]
	}
	return b.String() + more
}
