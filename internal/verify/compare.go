package verify

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/potok-streams/potok/views/client"
)

// maxLabels is how many event types a user's row lists.
const maxLabels = 1000

// verdict is what comparing a row came to.
type verdict struct {
	wrong []string // differences
	// behind says that the row has not got everything below the fixed ends: it may be on its way, and nothing else about
	// the row can be said.
	behind bool
	// Why a part of the row can't be judged: it holds what has expired, what an earlier incarnation of the events topic
	// had, or a publication that is not in the users topic.
	expired, foreign, unfound bool
}

func (v *verdict) differ(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

func (v *verdict) late(format string, args ...any) {
	v.behind = true
	v.differ(format, args...)
}

// user compares a user's row. nil stands for a row that is not there.
func (b *book) user(id string, row *client.User) (v verdict) {
	if row == nil {
		if s := b.events[id]; s != nil {
			v.late("there is no row, but %d events of the user", s.count)
		} else if p, ok := b.users[id]; ok {
			v.late("there is no row, but the user was published at %s", at(p.place))
		}
		return v
	}
	if row.Marks == nil {
		v.differ("the row came without marks")
		return v
	}
	b.publication(&v, id, row)
	want, ok := b.atMarks(&v, b.events[id], b.laterEvents[id], row.Marks.Events)
	if !ok {
		return v
	}
	if row.EventCount == 0 && row.Name == nil && want.count == 0 {
		v.differ("there is a row, but neither a user nor an event")
	}
	partial := v.expired || v.foreign
	v.count("event_count", row.EventCount, want.count, partial)
	v.labels(row, want.labels, partial)
	v.time("first_event_at", row.FirstEventAt, timeOf(want.span.first, want.span.known), partial, -1)
	v.time("last_event_at", row.LastEventAt, timeOf(want.span.last, want.span.known), partial, 1)
	return v
}

// publication compares name and e-mail.
func (b *book) publication(v *verdict, id string, row *client.User) {
	newest, published := b.users[id]
	mark := row.Marks.User
	if mark == nil {
		if published {
			v.late("the row knows no user, but one was published at %s", at(newest.place))
		}
		if row.Name != nil || row.Email != nil {
			v.differ("the row has a name or an email, but no mark of where they come from")
		}
		return
	}
	shown := version{mark.Timestamp, place{mark.Partition, mark.Offset}}
	want, found := newest, published && shown == newest.version
	if published && shown.compare(newest.version) < 0 {
		v.late("name and email are of the publication at %s, a newer one is at %s", at(shown.place), at(newest.place))
		return
	}
	for _, p := range b.laterUsers[id] {
		if p.version == shown {
			want, found = p, true
		}
	}
	switch part, exists := b.userParts[shown.partition]; {
	case found:
	case exists && shown.offset >= part.end:
		v.differ("name and email are of a publication at %s, which is beyond the end of the topic at %d", at(shown.place), part.end)
		return
	case exists && shown.offset < part.start:
		v.expired = true
		return
	default:
		v.unfound = true
		return
	}
	if row.Name == nil || *row.Name != want.name {
		v.differ("name is %s instead of %q, as published at %s", quoted(row.Name), want.name, at(want.place))
	}
	if row.Email == nil || *row.Email != want.email {
		v.differ("email is %s instead of %q, as published at %s", quoted(row.Email), want.email, at(want.place))
	}
}

// eventType compares a row of result B. nil stands for a row that is not there.
func (b *book) eventType(event string, row *client.EventType) (v verdict) {
	if row == nil {
		if s := b.types[event]; s != nil {
			v.late("there is no row, but %d events of the type", s.count)
		}
		return v
	}
	want, ok := b.atMarks(&v, b.types[event], b.laterTypes[event], row.Marks)
	if ok {
		v.count("count", row.Count, want.count, v.expired || v.foreign)
	}
	return v
}

// atMarks returns what a row that has these marks must have counted: all below the fixed ends, which its marks must
// cover, and of what came later what they cover.
func (b *book) atMarks(v *verdict, below *sums, later []*occurrence, marks []client.Mark) (want sums, ok bool) {
	if below == nil {
		below = new(sums)
	}
	reached := map[int32]int64{}
	for _, m := range marks {
		switch part, exists := b.eventParts[m.Partition]; {
		case m.TopicID != b.id:
			v.foreign = true
			continue
		case !exists:
			v.differ("the row has a mark of partition %d, which does not exist", m.Partition)
			return want, false
		case m.Offset >= part.end:
			v.differ("the row has a mark at %s, which is beyond the end of the topic at %d", at(place{m.Partition, m.Offset}), part.end)
			return want, false
		case part.start > 0:
			v.expired = true // or its first events may have
		}
		reached[m.Partition] = m.Offset
	}
	for _, head := range below.heads {
		if mark, marked := reached[head.partition]; !marked || mark < head.offset {
			up := "nothing"
			if marked {
				up = fmt.Sprintf("up to offset %d", mark)
			}
			v.late("the last event before the fixed end of partition %d is at offset %d, the row has counted %s there", head.partition, head.offset, up)
		}
	}
	if v.behind {
		return want, false
	}
	want = sums{count: below.count, labels: maps.Clone(below.labels), span: below.span, heads: slices.Clone(below.heads)}
	for _, o := range later {
		if mark, marked := reached[o.partition]; marked && o.offset <= mark {
			want.add(*o, true)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(reached)) {
		if head, any := want.heads.get(p); reached[p] >= b.eventParts[p].start && (!any || head != reached[p]) {
			v.differ("the row has a mark at %s, where there is no event of it", at(place{p, reached[p]}))
		}
	}
	return want, true
}

// count compares a count. Of a row that holds more than can be read any more, only that it is not too small.
func (v *verdict) count(what string, got, want uint64, partial bool) {
	if got < want || got > want && !partial {
		v.differ("%s is %d instead of %d", what, got, want)
	}
}

// labels compares the counts by event type. A row lists the first types that it saw, and counts those exactly.
func (v *verdict) labels(row *client.User, want map[string]uint64, partial bool) {
	for _, event := range slices.Sorted(maps.Keys(row.Events)) {
		v.count(fmt.Sprintf("the count of %q", event), row.Events[event], want[event], partial)
	}
	if truncated := len(want) > maxLabels; row.EventsTruncated != truncated && (truncated || !partial) {
		v.differ("events_truncated is %v, but there are %d event types", row.EventsTruncated, len(want))
	}
	if row.EventsTruncated {
		if len(row.Events) != maxLabels {
			v.differ("the row lists %d event types instead of %d", len(row.Events), maxLabels)
		}
		return
	}
	for _, event := range slices.Sorted(maps.Keys(want)) {
		if _, ok := row.Events[event]; !ok {
			v.differ("the count of %q is missing, it is %d", event, want[event])
		}
	}
}

// time compares a time. Of a row that holds more than can be read any more, it may lie further out.
func (v *verdict) time(what string, got, want *time.Time, partial bool, out int) {
	switch {
	case got == nil && want == nil, got != nil && want != nil && got.Equal(*want):
	case partial && (want == nil || got != nil && got.Compare(*want) == out):
	default:
		text := func(t *time.Time) string {
			if t == nil {
				return "null"
			}
			return t.UTC().Format(time.RFC3339Nano)
		}
		v.differ("%s is %s instead of %s", what, text(got), text(want))
	}
}

func at(p place) string { return fmt.Sprintf("offset %d of partition %d", p.offset, p.partition) }

func quoted(s *string) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *s)
}
