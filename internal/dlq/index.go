package dlq

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Place is a record's place in the queue.
type Place struct {
	Partition int32
	Offset    int64
}

// Entry is one rejected record, without its key, value and headers: see [Queue.Letter].
type Entry struct {
	Origin
	Time     time.Time // the rejected record's
	Reason   string
	Message  string
	Stage    string
	Size     int       // bytes of key, value and headers of the rejected record
	Letters  []Place   // where it is in the queue: more than once after a crash
	Replayed time.Time // when; zero: it was not
	Purged   time.Time // when; zero: it was not
}

// The states of an entry that is listed.
const (
	StateNew      = "new"
	StateReplayed = "replayed"
)

// State says whether the entry was replayed.
func (e *Entry) State() string {
	if e.Replayed.IsZero() {
		return StateNew
	}
	return StateReplayed
}

func (e *Entry) listed() bool { return len(e.Letters) > 0 && e.Purged.IsZero() }

// index is what the queue holds. It keeps no record's value.
type index struct {
	entries map[Origin]*Entry
	items   map[int32][]item    // each partition's records, by offset
	end     map[int32]int64     // each partition's next offset
	ids     map[string][]string // incarnations of each raw topic
	texts   map[string]string
	foreign int
}

// item is a record of the queue: a letter or a note about the entry, or, without an entry, somebody else's.
type item struct {
	offset int64
	entry  *Entry
	kind   kind
}

func newIndex() *index {
	return &index{entries: map[Origin]*Entry{}, items: map[int32][]item{}, end: map[int32]int64{}, ids: map[string][]string{}, texts: map[string]string{}}
}

// maxMessage is how much of a letter's message is kept. Ours are shorter; anyone can write to a topic.
const maxMessage = 1 << 10

// add takes a record of the queue. Records of a partition come by offset.
func (x *index) add(r *kgo.Record) {
	x.end[r.Partition] = r.Offset + 1
	if r.Attrs.IsControl() {
		return
	}
	p := parse(r)
	it := item{offset: r.Offset, kind: p.kind}
	if p.kind == foreign {
		x.foreign++
	} else {
		p.origin.Topic, p.origin.TopicID = x.text(p.origin.Topic), x.text(p.origin.TopicID)
		e, ok := x.entries[p.origin]
		if !ok {
			e = &Entry{Origin: p.origin}
			x.entries[p.origin] = e
			if !slices.Contains(x.ids[p.origin.Topic], p.origin.TopicID) {
				x.ids[p.origin.Topic] = append(x.ids[p.origin.Topic], p.origin.TopicID)
			}
		}
		it.entry = e
		switch {
		case p.kind == letter:
			if len(p.message) > maxMessage {
				p.message = strings.ToValidUTF8(p.message[:maxMessage], "") + "…"
			}
			e.Time, e.Reason, e.Message, e.Stage, e.Size = r.Timestamp, x.text(p.reason), x.text(p.message), x.text(p.stage), size(r, p.own)
			e.Letters = append(e.Letters, Place{r.Partition, r.Offset})
		case p.says == Replayed:
			e.Replayed = r.Timestamp
		case p.says == Purged:
			e.Purged = r.Timestamp
		}
	}
	x.items[r.Partition] = append(x.items[r.Partition], it)
}

// text returns one copy of texts that come again and again; messages name byte positions, and do not all.
func (x *index) text(s string) string {
	if t, ok := x.texts[s]; ok {
		return t
	}
	s = strings.Clone(s)
	if len(x.texts) < 10_000 {
		x.texts[s] = s
	}
	return s
}

func size(r *kgo.Record, own []kgo.RecordHeader) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range own {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Filter selects entries. What is empty selects all.
type Filter struct {
	Topic, Reason, Stage string
	State                string    // StateNew or StateReplayed
	Since, Until         time.Time // time stamps from the one and before the other
}

func (f *Filter) matches(e *Entry) bool {
	return (f.Topic == "" || f.Topic == e.Topic) && (f.Reason == "" || f.Reason == e.Reason) && (f.Stage == "" || f.Stage == e.Stage) &&
		(f.State == "" || f.State == e.State()) && (f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Until.IsZero() || e.Time.Before(f.Until))
}

// list returns the entries that a filter selects, the most recent last.
func (x *index) list(f Filter) []*Entry {
	var entries []*Entry
	for _, e := range x.entries {
		if e.listed() && f.matches(e) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b *Entry) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition),
			cmp.Compare(a.Offset, b.Offset), strings.Compare(a.TopicID, b.TopicID))
	})
	return entries
}

// find returns the entry that a text names.
func (x *index) find(text string) (*Entry, error) {
	o, full, err := ParseOrigin(text)
	if err != nil {
		return nil, err
	}
	ids := x.ids[o.Topic]
	if full {
		ids = []string{o.TopicID}
	}
	found, gone := x.at(o, ids)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, e := range found {
			names = append(names, e.Full())
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%s is in the queue for more than one incarnation of the topic: say which: %s", o, strings.Join(names, ", "))
	case gone:
		return nil, fmt.Errorf("%s: %w: it was purged", text, ErrUnknown)
	default:
		return nil, fmt.Errorf("%s: %w", text, ErrUnknown)
	}
}

// at returns the entries that are listed of one place in some incarnations, and whether others were purged.
func (x *index) at(o Origin, ids []string) (found []*Entry, gone bool) {
	for _, id := range ids {
		o.TopicID = id
		if e, ok := x.entries[o]; ok && e.listed() {
			found = append(found, e)
		} else if ok {
			gone = gone || !e.Purged.IsZero()
		}
	}
	return found, gone
}

// name returns the text that names an entry: with its incarnation only where it takes that.
func (x *index) name(e *Entry) string {
	if found, _ := x.at(e.Origin, x.ids[e.Topic]); len(found) > 1 {
		return e.Full()
	}
	return e.String()
}
