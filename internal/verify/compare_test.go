package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/potok-streams/potok/views/client"
)

const topicID = "now"

// raw is a small world: two partitions of events, fixed at 3 and 2, one of users, fixed at 2.
func raw() *book {
	b := newBook()
	b.id = topicID
	b.eventParts[0], b.eventParts[1] = partition{fixed: 3, end: 5}, partition{fixed: 2, end: 3}
	b.userParts[0] = partition{fixed: 2, end: 3}
	event := func(p int32, offset, ms int64, user, event string) {
		b.takeEvent(place{p, offset}, ms, fmt.Appendf(nil, `{"event_timestamp": "", "user_id": %q, "page": "", "event": %q}`, user, event))
	}
	event(0, 0, 1000, "a", "click")
	event(0, 1, 2000, "b", "click")
	event(0, 2, 500, "a", "focus")
	event(1, 0, 3000, "a", "click")
	b.takeEvent(place{1, 1}, 0, []byte("?"))
	event(0, 3, 9000, "a", "click") // later
	event(0, 4, 100, "a", "click")
	event(1, 2, 9500, "c", "click")
	user := func(offset, ms int64, id, name string) {
		b.takeUser(place{0, offset}, ms, fmt.Appendf(nil, `{"event_timestamp": "", "user_id": %q, "name": %q, "email": "m"}`, id, name))
	}
	user(0, 20, "a", "newest")
	user(1, 10, "a", "older")
	user(2, 30, "a", "later")
	return b
}

func ref[T any](v T) *T { return &v }

// rowOfA is a's row with all that lies below the fixed ends.
func rowOfA() client.User {
	return client.User{
		UserID: "a", Name: ref("newest"), Email: ref("m"), EventCount: 3, Events: map[string]uint64{"click": 2, "focus": 1},
		FirstEventAt: ref(time.UnixMilli(500)), LastEventAt: ref(time.UnixMilli(3000)),
		Marks: &client.RowMarks{User: &client.UserMark{Timestamp: 20}, Events: []client.Mark{{TopicID: topicID, Offset: 2}, {TopicID: topicID, Partition: 1}}},
	}
}

func TestUserRows(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*client.User)
		raw    func(*book)
		want   string // in the one difference; empty: there is none
		behind bool
	}{
		"as it is": {},
		"ahead": {change: func(u *client.User) {
			u.Marks.Events[0].Offset, u.EventCount, u.Events["click"], u.LastEventAt = 3, 4, 3, ref(time.UnixMilli(9000))
		}},
		"further ahead": {change: func(u *client.User) {
			u.Marks.Events[0].Offset, u.EventCount, u.Events["click"], u.FirstEventAt, u.LastEventAt = 4, 5, 4, ref(time.UnixMilli(100)), ref(time.UnixMilli(9000))
		}},
		"later name":     {change: func(u *client.User) { u.Name, u.Marks.User = ref("later"), &client.UserMark{Timestamp: 30, Offset: 2} }},
		"count":          {change: func(u *client.User) { u.EventCount++ }, want: "event_count is 4 instead of 3"},
		"count too low":  {change: func(u *client.User) { u.EventCount-- }, want: "event_count is 2 instead of 3"},
		"label":          {change: func(u *client.User) { u.Events["focus"]++ }, want: `the count of "focus" is 2 instead of 1`},
		"strange label":  {change: func(u *client.User) { u.Events["x"] = 1 }, want: `the count of "x" is 1 instead of 0`},
		"label missing":  {change: func(u *client.User) { delete(u.Events, "focus") }, want: `the count of "focus" is missing, it is 1`},
		"truncated":      {change: func(u *client.User) { u.EventsTruncated = true }, want: "events_truncated is true"},
		"first":          {change: func(u *client.User) { u.FirstEventAt = nil }, want: "first_event_at is null instead of 1970-01-01T00:00:00.5Z"},
		"last":           {change: func(u *client.User) { u.LastEventAt = ref(time.UnixMilli(3001)) }, want: "last_event_at is"},
		"behind":         {change: func(u *client.User) { u.Marks.Events[0].Offset = 1 }, want: "at offset 2, the row has counted up to offset 1", behind: true},
		"no mark":        {change: func(u *client.User) { u.Marks.Events = u.Marks.Events[:1] }, want: "the row has counted nothing there", behind: true},
		"name":           {change: func(u *client.User) { u.Name = ref("x") }, want: `name is "x" instead of "newest"`},
		"no email":       {change: func(u *client.User) { u.Email = nil }, want: `email is null instead of "m"`},
		"older name":     {change: func(u *client.User) { u.Name, u.Marks.User = ref("older"), &client.UserMark{Timestamp: 10, Offset: 1} }, want: "a newer one is at offset 0", behind: true},
		"no user":        {change: func(u *client.User) { u.Name, u.Email, u.Marks.User = nil, nil, nil }, want: "the row knows no user", behind: true},
		"user from afar": {change: func(u *client.User) { u.Marks.User = &client.UserMark{Timestamp: 30, Offset: 3} }, want: "beyond the end"},
		"mark from afar": {change: func(u *client.User) { u.Marks.Events[0].Offset = 5 }, want: "beyond the end"},
		"mark elsewhere": {change: func(u *client.User) { u.Marks.Events[1].Offset = 1 }, want: "where there is no event of it"},
		"no such part":   {change: func(u *client.User) { u.Marks.Events[1].Partition = 7 }, want: "partition 7, which does not exist"},
		"no marks":       {change: func(u *client.User) { u.Marks = nil }, want: "without marks"},
		// Of what has expired, or belonged to an earlier topic, a row may have more than can be found, and not less.
		"expired":           {raw: expire, change: func(u *client.User) { u.EventCount, u.Events["click"], u.FirstEventAt = 9, 8, ref(time.UnixMilli(1)) }},
		"expired, too low":  {raw: expire, change: func(u *client.User) { u.EventCount = 2 }, want: "event_count is 2 instead of 3"},
		"expired, too late": {raw: expire, change: func(u *client.User) { u.FirstEventAt = ref(time.UnixMilli(501)) }, want: "first_event_at"},
		"anew": {change: func(u *client.User) {
			u.Marks.Events = append(u.Marks.Events, client.Mark{TopicID: "old", Offset: 99})
			u.EventCount = 5
		}},
		"anew, label low": {change: func(u *client.User) {
			u.Marks.Events = append(u.Marks.Events, client.Mark{TopicID: "old"})
			u.Events["click"] = 1
		}, want: `the count of "click" is 1`},
		"users made anew":    {change: func(u *client.User) { u.Marks.User.Timestamp = 77 }},
		"user mark expired":  {raw: func(b *book) { b.userParts[0] = partition{start: 1, fixed: 2, end: 3} }, change: func(u *client.User) { u.Marks.User.Timestamp = 77 }},
		"not even a listing": {change: func(u *client.User) { u.Events = nil; u.EventCount = 3; u.EventsTruncated = true }, want: "events_truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, row := raw(), rowOfA()
			if tc.raw != nil {
				tc.raw(b)
			}
			if tc.change != nil {
				tc.change(&row)
			}
			got := b.user("a", &row)
			if got.behind != tc.behind {
				t.Errorf("behind: %v", got.behind)
			}
			if tc.want == "" && len(got.wrong) > 0 || tc.want != "" && !slices.ContainsFunc(got.wrong, func(s string) bool { return strings.Contains(s, tc.want) }) {
				t.Errorf("got %q, want %q", got.wrong, tc.want)
			}
			if unsure := got.expired || got.foreign || got.unfound; unsure != (strings.HasPrefix(name, "expired") || strings.Contains(name, "anew") || strings.Contains(name, "expired")) {
				t.Errorf("unverified: %+v", got)
			}
		})
	}
}

// expire takes the beginning of a partition away that a has events in.
func expire(b *book) {
	b.eventParts[1] = partition{start: 1, fixed: 2, end: 3}
}

func TestRowsThatShouldBeThereOrNot(t *testing.T) {
	t.Parallel()
	b := raw()
	if v := b.user("b", nil); !v.behind || len(v.wrong) != 1 {
		t.Errorf("a missing row: %+v", v)
	}
	if v := b.user("c", nil); v.behind || len(v.wrong) != 0 { // all of it came later
		t.Errorf("a row that need not be there yet: %+v", v)
	}
	nothing := client.User{UserID: "z", Marks: &client.RowMarks{}}
	if v := b.user("z", &nothing); len(v.wrong) != 1 {
		t.Errorf("a row of nothing: %+v", v)
	}
	made := client.User{UserID: "z", EventCount: 1, Events: map[string]uint64{"click": 1}, Marks: &client.RowMarks{Events: []client.Mark{{TopicID: topicID, Offset: 1}}}}
	if v := b.user("z", &made); len(v.wrong) < 2 {
		t.Errorf("a row that was made up: %+v", v)
	}
}

func TestEventTypeRows(t *testing.T) {
	t.Parallel()
	b := raw()
	marks := func(p0, p1 int64) []client.Mark {
		return []client.Mark{{TopicID: topicID, Offset: p0}, {TopicID: topicID, Partition: 1, Offset: p1}}
	}
	for name, tc := range map[string]struct {
		row    *client.EventType
		wrong  int
		behind bool
	}{
		"at the ends": {&client.EventType{Count: 3, Marks: marks(1, 0)}, 0, false},
		"ahead":       {&client.EventType{Count: 6, Marks: marks(4, 2)}, 0, false},
		"wrong":       {&client.EventType{Count: 4, Marks: marks(1, 0)}, 1, false},
		"behind":      {&client.EventType{Count: 2, Marks: marks(0, 0)}, 1, true},
		"missing":     {nil, 1, true},
	} {
		if v := b.eventType("click", tc.row); len(v.wrong) != tc.wrong || v.behind != tc.behind {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestTotals(t *testing.T) {
	t.Parallel()
	b := raw()
	if got, want := b.fixed(), (totals{known: 1, withEvents: 1, counted: 4, ofUnknown: 1, rejected: 1}); got != want {
		t.Errorf("at the fixed ends: got %+v, want %+v", got, want)
	}
	if got, want := b.all(), (totals{known: 1, withEvents: 1, counted: 7, ofUnknown: 2, rejected: 1}); got != want {
		t.Errorf("of all: got %+v, want %+v", got, want)
	}
}

// A row lists the first thousand types that it saw, and counts those, and the total, exactly.
func TestRowWithMoreTypesThanItLists(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.id = topicID
	b.eventParts[0] = partition{fixed: 2000, end: 2000}
	row := client.User{
		UserID: "a", EventCount: 1500, EventsTruncated: true, Events: map[string]uint64{},
		FirstEventAt: ref(time.UnixMilli(1)), LastEventAt: ref(time.UnixMilli(1)),
		Marks: &client.RowMarks{Events: []client.Mark{{TopicID: topicID, Offset: 1499}}},
	}
	for n := range int64(1500) {
		event := fmt.Sprint("type ", n%1200)
		b.takeEvent(place{0, n}, 1, fmt.Appendf(nil, `{"event_timestamp": "", "user_id": "a", "page": "", "event": %q}`, event))
		if len(row.Events) < 1000 || row.Events[event] > 0 {
			row.Events[event]++
		}
	}
	if v := b.user("a", &row); len(v.wrong) > 0 {
		t.Errorf("got %q", v.wrong)
	}
	delete(row.Events, "type 7")
	if v := b.user("a", &row); len(v.wrong) != 1 {
		t.Errorf("one type less: got %q", v.wrong)
	}
}
