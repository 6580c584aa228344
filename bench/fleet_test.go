package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// TestFleet wants clients to understand a stream however its bytes arrive, and what several are sent only once.
func TestFleet(t *testing.T) {
	t.Parallel()
	p := &potok{d: &data{plan: plan{users: 50, seed: 1}}}
	f := newFleet(p)
	var b bytes.Buffer
	b.WriteString("0123456789") // a header
	send := func(text string) {
		t.Helper()
		w, err := flate.NewWriter(&b, flate.DefaultCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	send("retry: 1000\n\n")
	want := make([]uint32, p.d.users)
	for i := range 200 {
		n := i * 7 % p.d.users
		want[n] = uint32(i)
		if i%3 == 0 {
			send("event: event-types\nid: x\n") // an event can come in parts
			send("data: {}\n\n")
		}
		send(fmt.Sprintf("event: users\nid: x\ndata: {\"users\":[{\"user_id\":%q,\"event_count\":%d}]}\n\n", p.d.userID(n), i))
	}
	for name, in := range map[string]io.Reader{
		"whole": bytes.NewReader(b.Bytes()), "bytes": iotest.OneByteReader(bytes.NewReader(b.Bytes())), "halves": iotest.HalfReader(bytes.NewReader(b.Bytes())),
	} {
		r := &reader{counts: make([]uint32, p.d.users)}
		if err := f.read(r, in); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(r.counts, want) {
			t.Errorf("%s: got %v, want %v", name, r.counts, want)
		}
		f.readers = append(f.readers, r)
	}
	want[3]++
	if clients, rows, err := f.behind(want); clients != 3 || rows != 3 || err != nil {
		t.Errorf("%d clients lack %d rows: %v", clients, rows, err)
	}
	if n := len(f.said); n > 250 {
		t.Errorf("understood %d times", n)
	}
}
