package codecs

import "strings"

// The event-types table counts by event type, and beside them a few things that are Potok's own: how many raw records
// were rejected, for what reason, and how many expired before they were read. They are counted by the same rule, so that
// these figures are exact as well. Their keys start with a byte that UTF-8 never has, so that no event type is like them.
const counterPrefix = "\xff"

// Counter names one of Potok's own counters.
type Counter struct {
	Kind   CounterKind
	Topic  string // the raw topic
	Reason Reason // why the records were rejected; empty for lost ones
}

// CounterKind says what a [Counter] counts.
type CounterKind string

// The counters that there are.
const (
	Rejected CounterKind = "rejected" // raw records that are not valid
	Lost     CounterKind = "lost"     // raw offsets that expired before they were read
)

// Key returns the counter's key in the event-types stream and table.
func (c Counter) Key() string {
	return counterPrefix + string(c.Kind) + "/" + string(c.Reason) + "/" + c.Topic
}

// ParseCounter returns the counter of a key of the event-types table; ok is false when the key is an event type.
func ParseCounter(key string) (c Counter, ok bool) {
	rest, own := strings.CutPrefix(key, counterPrefix)
	if !own {
		return Counter{}, false
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) != 3 {
		return Counter{}, true
	}
	return Counter{Kind: CounterKind(parts[0]), Reason: Reason(parts[1]), Topic: parts[2]}, true
}
