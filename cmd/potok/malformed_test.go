package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// badMessage is a message that must be rejected, and for what reason.
type badMessage struct {
	reason string
	value  []byte
}

// malformed returns messages of every kind that is not valid on a raw topic.
func malformed(users bool) []badMessage {
	fields := []string{"event_timestamp", "user_id", "page", "event"}
	if users {
		fields = []string{"event_timestamp", "user_id", "email", "name"}
	}
	object := func(change func(name string) (key, value string)) []byte {
		var parts []string
		for _, f := range fields {
			key, value := f, `"x"`
			if change != nil {
				key, value = change(f)
			}
			if value != "" {
				parts = append(parts, fmt.Sprintf("%q: %s", key, value))
			}
		}
		return []byte("{" + strings.Join(parts, ", ") + "}")
	}
	one := func(name, value string) []byte {
		return object(func(f string) (string, string) {
			if f == name {
				return f, value
			}
			return f, `"x"`
		})
	}
	last := fields[3]
	valid := string(object(nil))
	big := func(n int) string { return strings.Repeat("я", n/2) }
	messages := []badMessage{
		{"not_json", nil},
		{"not_json", []byte{}},
		{"not_json", []byte(" ")},
		{"not_json", []byte("hello")},
		{"not_json", []byte("{")},
		{"not_json", []byte(valid[:len(valid)-1])},
		{"not_json", []byte(valid + "x")},
		{"not_json", []byte(valid + valid)},
		{"not_json", []byte("\ufeff" + valid)},
		{"not_json", []byte(strings.ReplaceAll(valid, `"`, `'`))},
		{"not_json", one("user_id", `NaN`)},
		{"not_json", one("user_id", `"\ud800"`)},
		{"not_json", one(last, `"\udc00\ud800"`)},
		{"not_json", one("user_id", "\"\xff\"")},
		{"not_json", one("user_id", "\"\xc0\x80\"")},
		{"not_json", one("user_id", "\"a\nb\"")},
		{"not_json", one("user_id", `"\x41"`)},
		{"not_json", []byte(valid[:len(valid)-1] + `, "extra": "` + "\xed\xa0\x80" + `"}`)},
		{"not_json", []byte(valid[:len(valid)-1] + `, "extra": 01}`)},
		{"not_json", []byte(valid[:len(valid)-1] + `,}`)},
		{"not_json", []byte(big(1_048_000))},
		{"not_json", []byte(big(4_000_000))},
		{"not_json", []byte(`{"user_id": "` + strings.Repeat("x", 1_000_000))},
		{"too_deep", []byte(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000))},
		{"too_deep", []byte(valid[:len(valid)-1] + `, "extra": ` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) + "}")},
		{"wrong_type", []byte("null")},
		{"wrong_type", []byte("true")},
		{"wrong_type", []byte("12")},
		{"wrong_type", []byte(`"text"`)},
		{"wrong_type", []byte("[]")},
		{"wrong_type", []byte("[" + valid + "]")},
		{"wrong_type", one("user_id", "7")},
		{"wrong_type", one("user_id", "null")},
		{"wrong_type", one(last, `{"a": "b"}`)},
		{"wrong_type", one("event_timestamp", "1700000000")},
		{"wrong_type", []byte(valid[:len(valid)-1] + `, "user_id": false}`)},
		{"missing_field", []byte("{}")},
		{"missing_field", one("user_id", "")},
		{"missing_field", one("event_timestamp", "")},
		{"missing_field", one(last, "")},
		{"missing_field", bytes.ReplaceAll(one("", ""), []byte("user_id"), []byte("User_Id"))},
		{"missing_field", bytes.ReplaceAll([]byte(valid), []byte("user_id"), []byte("user_id "))},
		{"too_large", one("user_id", `"`+strings.Repeat("x", 5*1024)+`"`)},
		{"too_large", one("user_id", `"`+strings.Repeat("я", 2049)+`"`)},
	}
	if users {
		return append(messages, badMessage{"too_large", one("name", `"`+big(300_000)+`"`)})
	}
	return append(messages, badMessage{"too_large", one("event", `"`+strings.Repeat("x", 4097)+`"`)})
}

// readAll reads a topic from its start to its end.
func readAll(t *testing.T, w *world, topic string) []*kgo.Record {
	t.Helper()
	ends, err := w.admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, e := range ends[topic] {
		left += int(e.Offset)
	}
	cl, err := w.kafka.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(idle))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	var records []*kgo.Record
	for len(records) < left {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read %s: %v, after %d of %d records", topic, err, len(records), left)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

const idle = 200_000_000 // nanoseconds: how long a fetch waits

// originOf returns where a dead letter comes from, and the headers that say more.
func originOf(l *kgo.Record) (origin string, extra map[string]string) {
	extra = map[string]string{}
	for _, h := range l.Headers {
		extra[h.Key] = string(h.Value)
	}
	return fmt.Sprintf("%s/%s/%s", extra["__streams.errors.topic"], extra["__streams.errors.partition"], extra["__streams.errors.offset"]), extra
}

// sameRecord says what of a record its dead letter has not kept.
func sameRecord(want, letter *kgo.Record) string {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	switch {
	case !same(want.Key, letter.Key):
		return fmt.Sprintf("key %q, want %q", letter.Key, want.Key)
	case !same(want.Value, letter.Value):
		return fmt.Sprintf("value has %d bytes (nil: %v), want %d (nil: %v)", len(letter.Value), letter.Value == nil, len(want.Value), want.Value == nil)
	case !want.Timestamp.Equal(letter.Timestamp):
		return fmt.Sprintf("time stamp %s, want %s", letter.Timestamp, want.Timestamp)
	case len(letter.Headers) < len(want.Headers):
		return "headers are missing"
	}
	for i, h := range want.Headers {
		if letter.Headers[i].Key != h.Key || !same(letter.Headers[i].Value, h.Value) {
			return fmt.Sprintf("header %d is %v, want %v", i, letter.Headers[i], h)
		}
	}
	return ""
}

func readLines(t *testing.T, r io.Reader) []string {
	t.Helper()
	var lines []string
	s := bufio.NewScanner(r)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
