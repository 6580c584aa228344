//go:build unix

package main

import (
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestLinkHolds: what was sent before the sender hung up arrives when the link is opened, and not before.
func TestLinkHolds(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	got := make(chan string, 1)
	go func() {
		c, err := broker.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		got <- string(b)
	}()
	k, err := newLink(broker.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	k.set(linkHeld)
	c, err := net.Dial("tcp", k.addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case text := <-got:
		t.Fatalf("%q arrived while the link was held", text)
	case <-time.After(200 * time.Millisecond):
	}
	k.set(linkOpen)
	if text := <-got; text != "late" {
		t.Errorf("arrived: %q", text)
	}
}

// TestOracle: the oracle orders a user's publications as the contract says, counts by user and type, and notices what must
// not be there.
func TestOracle(t *testing.T) {
	l := new(ledger)
	o := newOracle("", names{prefix: "p", users: "users", events: "events"}, l)
	take := func(m message, partition int32, offset int64) error {
		topic := "events"
		if m.users {
			topic = "users"
		}
		n := l.add(m)
		l.update(n, func(m *message) { m.partition, m.offset = partition, offset })
		return o.take(&kgo.Record{Topic: topic, Partition: partition, Offset: offset, Timestamp: time.UnixMilli(m.timestamp), Headers: numberHeader(n)})
	}
	for _, in := range []struct {
		m         message
		partition int32
		offset    int64
	}{
		{message{fate: published, users: true, user: 20, timestamp: 5}, 1, 0}, // the latest: 0
		{message{fate: published, users: true, user: 20, timestamp: 5}, 0, 9},
		{message{fate: published, users: true, user: 20, timestamp: 4}, 2, 9},
		{message{fate: published, user: 20, event: 1, timestamp: 7}, 0, 0},
		{message{fate: published, user: 20, event: 1, timestamp: 6}, 0, 1},
		{message{fate: uncertain, user: 21, event: 2, timestamp: 6}, 0, 2},
		{message{fate: published, bad: true, user: 20, timestamp: 6}, 0, 3},
	} {
		if err := take(in.m, in.partition, in.offset); err != nil {
			t.Fatal(err)
		}
	}
	w := o.want()
	if u := w.users["u20"]; *u.Name != person(0) || u.Count != 2 || u.Events["scroll"] != 2 || *u.First != 6 || *u.Last != 7 {
		t.Errorf("u20: %s", text(u))
	}
	if u := w.users["u21"]; u.Name != nil || u.Count != 1 {
		t.Errorf("u21: %s", text(u))
	}
	if want := (stats{UsersKnown: 1, WithEvents: 1, Counted: 3, UnknownEvents: 1, Rejected: 1}); w.stats != want {
		t.Errorf("stats: %+v", w.stats)
	}
	if err := take(message{fate: dropped, user: 20, timestamp: 6}, 0, 4); err == nil {
		t.Error("a message of an aborted transaction was let pass")
	}
	if err := o.complete(); err != nil {
		t.Error(err)
	}
	l.add(message{fate: published})
	if err := o.complete(); err == nil {
		t.Error("a message that is not there was let pass")
	}
}

// TestCompare: each kind of difference is found.
func TestCompare(t *testing.T) {
	name, count := "x", func(n uint64) row { return row{Count: n, Events: map[string]uint64{"click": n}} }
	want := results{users: map[string]row{"a": count(1), "b": count(2), "c": {Name: &name}}, types: map[string]uint64{"click": 3}}
	if d := compare(want, want); len(d) > 0 {
		t.Errorf("equal, but: %v", d)
	}
	got := results{users: map[string]row{"a": count(2), "c": {}, "d": count(1)}, types: map[string]uint64{"scroll": 3}, stats: stats{Lost: 1}}
	if d := compare(want, got); len(d) != 7 {
		t.Errorf("%s differences: %v", strconv.Itoa(len(d)), d)
	}
}
