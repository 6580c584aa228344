package dlq

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

// HeaderNote is the header that makes a record of the queue a note, with what the note says: [Replayed] or [Purged].
const HeaderNote = "potok.dlq.note"

// What a note says.
const (
	Replayed = "replayed"
	Purged   = "purged"
)

// Origin is where a rejected record was, and names its entry. TopicID is the topic's incarnation in hexadecimal; a letter
// that does not say has none.
type Origin struct {
	Topic     string
	TopicID   string
	Partition int32
	Offset    int64
}

// String returns topic/partition/offset, which leaves out the incarnation.
func (o Origin) String() string { return fmt.Sprintf("%s/%d/%d", o.Topic, o.Partition, o.Offset) }

// Full returns topic/partition/offset@incarnation, for the rare case that the same place of two incarnations is in the queue.
func (o Origin) Full() string { return o.String() + "@" + o.TopicID }

// ErrOrigin is wrapped by [ParseOrigin]'s errors.
var ErrOrigin = errors.New("origin must be topic/partition/offset")

// ParseOrigin reads what [Origin.String] or [Origin.Full] wrote. Without an incarnation, full is false.
func ParseOrigin(s string) (o Origin, full bool, err error) {
	place, id, full := strings.Cut(s, "@")
	parts := strings.Split(place, "/")
	if len(parts) != 3 || full && id != "" && !isTopicID(id) {
		return Origin{}, false, fmt.Errorf("%q: %w", s, ErrOrigin)
	}
	o, ok := newOrigin(parts[0], parts[1], parts[2], id)
	if !ok {
		return Origin{}, false, fmt.Errorf("%q: %w", s, ErrOrigin)
	}
	return o, full, nil
}

func newOrigin(topic, partition, offset, id string) (Origin, bool) {
	p, err1 := strconv.ParseUint(partition, 10, 31)
	at, err2 := strconv.ParseUint(offset, 10, 63)
	// Of the records of a large queue most topics and ids are the same: a clone keeps nothing else alive.
	return Origin{Topic: strings.Clone(topic), TopicID: strings.Clone(id), Partition: int32(p), Offset: int64(at)},
		topic != "" && strings.Trim(topic, topicLetters) == "" && err1 == nil && err2 == nil
}

// topicLetters are those that Kafka allows in the name of a topic.
const topicLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func isTopicID(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 2*len(codecs.TopicID{})
}

// kind is what a record of the queue is.
type kind int

const (
	foreign kind = iota // somebody else's
	letter
	note
)

// parsed is a record of the queue, read.
type parsed struct {
	kind                   kind
	origin                 Origin
	reason, message, stage string             // of a letter
	own                    []kgo.RecordHeader // a letter's: those that the rejected record had
	says                   string             // a note's: Replayed or Purged
}

// parse reads a record of the queue. A letter's headers are the last ones: the rejected record may itself have had headers
// of these names, which are its own and mean nothing here.
func parse(r *kgo.Record) parsed {
	if p, ok := parseLetter(r.Headers); ok {
		return p
	}
	if p, ok := parseNote(r); ok {
		return p
	}
	return parseLoose(r.Headers)
}

func letterHeaders() []string {
	return []string{codecs.HeaderTopic, codecs.HeaderPartition, codecs.HeaderOffset, codecs.HeaderException, codecs.HeaderMessage, codecs.HeaderStage}
}

func parseLetter(h []kgo.RecordHeader) (parsed, bool) {
	want := letterHeaders()
	n := len(h)
	id := ""
	if n > 0 && h[n-1].Key == codecs.HeaderTopicID {
		n--
		id = string(h[n].Value)
	}
	if n < len(want) || !slices.EqualFunc(h[n-len(want):n], want, func(h kgo.RecordHeader, key string) bool { return h.Key == key }) {
		return parsed{}, false
	}
	own := h[:n-len(want)]
	value := func(i int) string { return string(h[len(own)+i].Value) }
	o, ok := newOrigin(value(0), value(1), value(2), id)
	return parsed{kind: letter, origin: o, reason: value(3), message: value(4), stage: value(5), own: own}, ok && (id == "" || isTopicID(id))
}

func parseNote(r *kgo.Record) (parsed, bool) {
	h := r.Headers
	if len(h) < 4 || len(h) > 5 || len(r.Value) > 0 {
		return parsed{}, false
	}
	want := []string{HeaderNote, codecs.HeaderTopic, codecs.HeaderPartition, codecs.HeaderOffset, codecs.HeaderTopicID}
	for i := range h {
		if h[i].Key != want[i] {
			return parsed{}, false
		}
	}
	id := ""
	if len(h) == 5 {
		id = string(h[4].Value)
	}
	o, ok := newOrigin(string(h[1].Value), string(h[2].Value), string(h[3].Value), id)
	p := parsed{kind: note, origin: o, says: string(h[0].Value)}
	return p, ok && (p.says == Replayed || p.says == Purged) && bytes.Equal(r.Key, []byte(o.String()))
}

// parseLoose takes a letter's headers in any order: those of somebody who wrote a letter again with another tool.
func parseLoose(h []kgo.RecordHeader) parsed {
	found := map[string]string{}
	var own []kgo.RecordHeader
	for _, h := range h {
		if h.Key == codecs.HeaderTopicID || slices.Contains(letterHeaders(), h.Key) {
			found[h.Key] = string(h.Value)
		} else {
			own = append(own, h)
		}
	}
	o, ok := newOrigin(found[codecs.HeaderTopic], found[codecs.HeaderPartition], found[codecs.HeaderOffset], found[codecs.HeaderTopicID])
	reason, rejected := found[codecs.HeaderException]
	if !ok || !rejected || o.TopicID != "" && !isTopicID(o.TopicID) {
		return parsed{}
	}
	return parsed{kind: letter, origin: o, reason: reason, message: found[codecs.HeaderMessage], stage: found[codecs.HeaderStage], own: own}
}

// newNote returns the note about an origin.
func newNote(queue string, partition int32, o Origin, says string) *kgo.Record {
	r := &kgo.Record{Topic: queue, Partition: partition, Key: []byte(o.String()), Headers: []kgo.RecordHeader{
		{Key: HeaderNote, Value: []byte(says)},
		{Key: codecs.HeaderTopic, Value: []byte(o.Topic)},
		{Key: codecs.HeaderPartition, Value: strconv.AppendInt(nil, int64(o.Partition), 10)},
		{Key: codecs.HeaderOffset, Value: strconv.AppendInt(nil, o.Offset, 10)},
	}}
	if o.TopicID != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: codecs.HeaderTopicID, Value: []byte(o.TopicID)})
	}
	return r
}
