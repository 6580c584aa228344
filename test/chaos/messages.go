//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fate is what became of a message on its way to the broker.
type fate uint8

const (
	pending   fate = iota
	published      // acknowledged, and committed where it was in a transaction
	dropped        // in a transaction that was aborted: must never be seen
	uncertain      // the broker may have it or not: reading the topic tells
)

// message is one record that was published, or tried to.
type message struct {
	fate      fate
	bad       bool
	users     bool // on the users topic, else on the events topic
	partition int32
	user      int32
	event     int32
	offset    int64
	timestamp int64 // milliseconds
}

// headerNumber is the header that says which message a raw record is.
const headerNumber = "chaos.number"

// ledger holds all messages of a run, by number.
type ledger struct {
	mu       sync.Mutex
	messages []message
}

func (l *ledger) add(m message) (number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, m)
	return len(l.messages) - 1
}

func (l *ledger) update(number int, f func(*message)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.messages[number])
}

// author makes messages up. It is for one goroutine.
type author struct {
	rnd    *rand.Rand
	ledger *ledger
	names  names
	users  int
	narrow *atomic.Bool
	epoch  int64 // the users' time stamps are at or after it
}

// names are the topics and groups of a run.
type names struct{ prefix, users, events string }

func (n names) stream(stage string) string { return n.prefix + "-" + stage + "-stream" }
func (n names) table(stage string) string  { return n.prefix + "-" + stage + "-table" }
func (n names) deadLetters() string        { return n.prefix + "-dlq" }

// The shares of what is published.
const (
	badShare  = 0.03
	userShare = 0.2
	versions  = 60 // different time stamps of a user's publications: few, so that partition and offset decide as well
)

// strange are ids that have broken something somewhere before.
var strange = []string{"", " ", "__offset", "..", ".", "a/b?c=d#e", "рабочий день", "😀", "\u0000", `"quoted"`, "%2E", "m", "r", strings.Repeat("long ", 800)}

// userID is the id of the i-th user.
func userID(i int32) string {
	if int(i) < len(strange) {
		return strange[i]
	}
	return "u" + strconv.Itoa(int(i))
}

var eventTypes = []string{"click", "scroll", "submit", "download", "focus", "", "клик", "__offset", "hover", "копия 😀", "drag", "drop"}

// person and mail differ from one publication to the next, so that a row that shows the wrong one is seen.
func person(number int) string { return "Имя №" + strconv.Itoa(number) }
func mail(number int) string   { return "m" + strconv.Itoa(number) + "@mail.ru" }

// next returns a record and its number in the ledger.
func (a *author) next() (*kgo.Record, int) {
	r := &kgo.Record{Partition: a.rnd.Int32N(1 << 30)} // see spread
	m := message{user: a.pick(), event: int32(min(a.rnd.IntN(len(eventTypes)), a.rnd.IntN(len(eventTypes))))}
	m.bad = a.rnd.Float64() < badShare
	m.users = a.rnd.Float64() < userShare
	if m.users {
		// Some users never register, and those who do do it again and again, in no order.
		if m.user = a.rnd.Int32N(int32(a.users) * 17 / 20); a.narrow.Load() {
			m.user %= 40
		}
		r.Topic, m.timestamp = a.names.users, a.epoch+a.rnd.Int64N(versions)
	} else {
		r.Topic, m.timestamp = a.names.events, time.Now().UnixMilli()-a.rnd.Int64N(2000)
	}
	if a.rnd.IntN(10) == 0 {
		r.Key = []byte{byte(a.rnd.IntN(256))} // says nothing
	}
	number := a.ledger.add(m)
	r.Value, r.Timestamp = a.value(m, number), time.UnixMilli(m.timestamp)
	r.Headers = numberHeader(number)
	return r, number
}

func numberHeader(number int) []kgo.RecordHeader {
	return []kgo.RecordHeader{{Key: headerNumber, Value: strconv.AppendInt(nil, int64(number), 10)}}
}

// pick draws a user; some are much busier than others.
func (a *author) pick() int32 {
	if busy := a.rnd.IntN(3) == 0; busy || a.narrow.Load() {
		return a.rnd.Int32N(min(40, int32(a.users)))
	}
	return a.rnd.Int32N(int32(a.users))
}

func (a *author) value(m message, number int) []byte {
	fields := map[string]any{"event_timestamp": "2026-11-22 10:00:00", "user_id": userID(m.user)}
	if m.users {
		fields["name"], fields["email"] = person(number), mail(number)
	} else {
		fields["event"], fields["page"] = eventTypes[m.event], "https://example.com/"+strconv.Itoa(number%100)
	}
	if !m.bad {
		return encode(fields)
	}
	switch good := encode(fields); a.rnd.IntN(14) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return []byte("not JSON")
	case 3:
		return good[:len(good)-1]
	case 4:
		return append(good, '}')
	case 5:
		return append([]byte("\ufeff"), good...)
	case 6:
		return bytes.Replace(good, []byte(`"user_id":`), []byte(`"user_id":7,"id":`), 1)
	case 7:
		delete(fields, "user_id")
	case 8:
		delete(fields, "event_timestamp")
	case 9:
		fields["user_id"] = strings.Repeat("x", 4097)
	case 10:
		fields["extra"] = "\xff"
		return bytes.Replace(encode(fields), []byte(`\ufffd`), []byte("\xff"), 1)
	case 11:
		return bytes.Replace(good, []byte(`"user_id":`), []byte(`"extra":"\ud800","user_id":`), 1)
	case 12:
		return bytes.Replace(good, []byte(`"user_id":`), []byte(`"extra":NaN,"user_id":`), 1)
	default:
		return []byte(`[` + string(good) + `]`)
	}
	return encode(fields)
}

func encode(fields map[string]any) []byte {
	b, err := json.Marshal(fields)
	if err != nil {
		panic(fmt.Sprintf("encode %v: %v", fields, err)) // strings only: it can't fail
	}
	return b
}
