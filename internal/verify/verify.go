// Package verify recomputes both results from the raw topics and compares them with what a view serves.
//
// It shares nothing with the stages that it checks but the names of topics and groups: it has a judgement of its own of
// what a valid record is, and counts in maps. Its state grows with the number of users and of event types, not with that
// of events, apart from what is published while it works.
//
// Each row is compared at its own marks, which say up to which raw offsets it has counted: a row that is being written to
// is right or wrong like any other. The marks must cover the ends of the raw topics as they were at the start. What can't
// be read any more can't be judged: see [Unverified].
package verify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/views/client"
)

// Options say what to verify.
type Options struct {
	Kafka  kafka.Config
	Names  codecs.Names
	Server *client.Client // the view
	Logger *slog.Logger   // hears how far it is
	// Settle is how long a row may take, once its table has passed the fixed ends, to reach the view.
	Settle time.Duration
	// MaxDifferences is how many differences a report lists. It counts all.
	MaxDifferences int
}

// Report is what a verification has found.
type Report struct {
	Equal           bool         `json:"equal"` // all was verified, and nothing differs
	Topics          []Topic      `json:"topics"`
	Users           int          `json:"users"`       // rows compared
	EventTypes      int          `json:"event_types"` // rows compared
	Events          uint64       `json:"events"`      // valid ones below the fixed ends
	Rejected        uint64       `json:"rejected"`    // records of both topics below the fixed ends
	DifferenceCount int          `json:"difference_count"`
	Differences     []Difference `json:"differences"`
	Unverified      []Unverified `json:"unverified"`
}

// Topic is a raw topic as it was verified.
type Topic struct {
	Name       string      `json:"name"`
	ID         string      `json:"topic_id"`
	Partitions []Partition `json:"partitions"`
}

// Partition is a raw partition: verified is what lies from Start on and below End, and what the rows have of later.
type Partition struct {
	Partition int32 `json:"partition"`
	Start     int64 `json:"start"`
	End       int64 `json:"end"`
}

// Difference is something that a view says and the raw topics do not, or the other way around.
type Difference struct {
	Kind string `json:"kind"` // user, event_type or total
	Key  string `json:"key"`  // the user's id, the event type, the total's name
	What string `json:"what"`
}

// Unverified is a part of the results that can't be recomputed any more. Rows that hold such a part were checked to have
// at least what could be recomputed.
type Unverified struct {
	What string `json:"what"`
	Rows int    `json:"rows,omitempty"` // how many rows it concerns
}

type verification struct {
	Options
	users, events *rawTopic
	book          *book
	reader        *reader
	report        Report

	foreign, unfound int    // rows
	exampleUser      string // of unfound
	compared         map[string]bool
	pendingUsers     map[string]bool // not compared yet: the row was behind
	deadline         time.Time       // what is behind then is a difference
	settled          bool            // the view has everything below the fixed ends
}

// Run verifies. An error means that it could not; what it found is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	b := newBook()
	v := &verification{
		Options: o, book: b, compared: map[string]bool{}, pendingUsers: map[string]bool{},
		users:  &rawTopic{name: o.Names.Users, parts: b.userParts, next: map[int32]int64{}, take: b.takeUser},
		events: &rawTopic{name: o.Names.Events, parts: b.eventParts, next: map[int32]int64{}, take: b.takeEvent},
	}
	v.report.Differences, v.report.Unverified = []Difference{}, []Unverified{}
	var err error
	if v.reader, err = newReader(ctx, o.Kafka, o.Logger, v.users, v.events); err != nil {
		return nil, err
	}
	defer v.reader.close()
	b.id = base64.RawURLEncoding.EncodeToString(v.events.id[:])
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	v.conclude()
	return &v.report, nil
}

func (v *verification) run(ctx context.Context) (err error) {
	// First, so that a wrong address does not show after minutes of reading.
	if _, _, err := v.caughtUp(ctx); err != nil {
		return err
	}
	fixed := reach{}
	for _, t := range []*rawTopic{v.users, v.events} {
		for p, part := range t.parts {
			fixed.add(t.name, p, part.fixed)
		}
	}
	if err := v.reader.readTo(ctx, fixed); err != nil {
		return err
	}
	if v.settled, err = v.await(ctx); err != nil {
		return err
	}
	v.deadline = time.Now().Add(v.Settle)
	v.Logger.Info("comparing", "users", len(v.book.users), "users_with_events", len(v.book.events), "event_types", len(v.book.types))
	for _, compare := range []func(context.Context) error{v.compareUsers, v.compareEventTypes, v.compareTotals, v.reader.same} {
		if err := compare(ctx); err != nil {
			return err
		}
	}
	return nil
}

// compareUsers compares all rows that are served, and then those that are missing or were behind.
func (v *verification) compareUsers(ctx context.Context) error {
	settled := v.settled
	for page, err := range v.Server.UserPages(ctx, client.UsersQuery{Limit: 1000, Sort: client.ByUserID, IncludeAll: true, Marks: true}) {
		if err != nil {
			return fmt.Errorf("ask the view: %w", err)
		}
		if err := v.catchUp(ctx, page.Users); err != nil {
			return err
		}
		for i := range page.Users {
			u := &page.Users[i]
			if v.compared[u.UserID] {
				v.differ("user", u.UserID, "the row is listed twice")
				continue
			}
			v.compared[u.UserID] = true
			v.user(u.UserID, u, settled)
		}
	}
	for _, ids := range []func(func(string) bool){maps.Keys(v.book.users), maps.Keys(v.book.events)} {
		for id := range ids {
			if !v.compared[id] {
				v.compared[id] = true
				v.user(id, nil, settled)
			}
		}
	}
	for len(v.pendingUsers) > 0 {
		final, err := v.final(ctx)
		if err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(v.pendingUsers)) {
			delete(v.pendingUsers, id)
			row, err := v.ask(ctx, id)
			if err != nil {
				return err
			}
			v.user(id, row, final)
		}
		if len(v.pendingUsers) > 0 && !pause(ctx, waitPause) {
			return fmt.Errorf("%d rows of the view are behind: %w", len(v.pendingUsers), context.Cause(ctx))
		}
	}
	v.report.Users = len(v.compared)
	return nil
}

// final reports whether a row that is behind after the call will not come any more.
func (v *verification) final(ctx context.Context) (bool, error) {
	if !v.settled && time.Now().Before(v.deadline) {
		var err error
		if v.settled, _, err = v.caughtUp(ctx); err != nil {
			return false, err
		}
	}
	return v.settled || !time.Now().Before(v.deadline), nil
}

// ask returns one user's row, nil if there is none.
func (v *verification) ask(ctx context.Context, id string) (*client.User, error) {
	u, err := v.Server.User(ctx, id, client.WithMarks)
	if problem := (*client.Problem)(nil); errors.As(err, &problem) && problem.Status == 404 && problem.Detail != "" {
		return nil, nil //nolint:nilnil // no row is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("ask the view: %w", err)
	}
	return &u.User, v.catchUp(ctx, []client.User{u.User})
}

// user compares a row. final says that the view has all that is below the fixed ends.
func (v *verification) user(id string, row *client.User, final bool) {
	found := v.book.user(id, row)
	if found.behind && !final {
		v.pendingUsers[id] = true
		return
	}
	if found.unfound {
		if v.unfound++; v.unfound == 1 || id < v.exampleUser {
			v.exampleUser = id
		}
	}
	v.note("user", id, found)
}

func (v *verification) note(kind, key string, found verdict) {
	if found.foreign {
		v.foreign++
	}
	for _, what := range found.wrong {
		v.differ(kind, key, what)
	}
}

func (v *verification) differ(kind, key, what string) {
	v.report.DifferenceCount++
	if len(v.report.Differences) < v.MaxDifferences {
		v.report.Differences = append(v.report.Differences, Difference{kind, key, what})
	}
}

// catchUp reads the raw topics as far as the marks of the rows go.
func (v *verification) catchUp(ctx context.Context, rows []client.User) error {
	to := reach{}
	for i := range rows {
		if m := rows[i].Marks; m != nil {
			v.marks(to, m.Events)
			if m.User != nil {
				to.add(v.users.name, m.User.Partition, m.User.Offset+1)
			}
		}
	}
	return v.read(ctx, to)
}

func (v *verification) marks(to reach, marks []client.Mark) {
	for _, m := range marks {
		if m.TopicID == v.book.id {
			to.add(v.events.name, m.Partition, m.Offset+1)
		}
	}
}

// read reads so far, or to the end of a topic if it does not go so far: a mark may say anything.
func (v *verification) read(ctx context.Context, to reach) error {
	beyond := func(bound bool) (any bool) {
		for name, parts := range to {
			for p, next := range parts {
				part, known := v.reader.topics[name].parts[p]
				if !known || next > part.end {
					any = true
					if bound {
						parts[p] = part.end
					}
				}
			}
		}
		return any
	}
	if beyond(false) {
		if err := v.reader.refresh(ctx); err != nil {
			return err
		}
		beyond(true)
	}
	return v.reader.readTo(ctx, to)
}

// compareEventTypes compares result B, again and again while it is behind.
func (v *verification) compareEventTypes(ctx context.Context) error {
	for {
		final, err := v.final(ctx)
		if err != nil {
			return err
		}
		answer, err := v.Server.EventTypes(ctx, client.WithMarks)
		if err != nil {
			return fmt.Errorf("ask the view: %w", err)
		}
		to, rows, total := reach{}, map[string]*client.EventType{}, uint64(0)
		for i := range answer.Types {
			row := &answer.Types[i]
			rows[row.Event] = row
			v.marks(to, row.Marks)
			total += row.Count
		}
		if err := v.read(ctx, to); err != nil {
			return err
		}
		for event := range v.book.types {
			if rows[event] == nil {
				rows[event] = nil // it is missing
			}
		}
		verdicts, behind := map[string]verdict{}, false
		for event, row := range rows {
			verdicts[event] = v.book.eventType(event, row)
			behind = behind || verdicts[event].behind
		}
		if behind && !final {
			if !pause(ctx, waitPause) {
				return fmt.Errorf("event types of the view are behind: %w", context.Cause(ctx))
			}
			continue
		}
		for _, event := range slices.Sorted(maps.Keys(verdicts)) {
			v.note("event_type", event, verdicts[event])
		}
		if total != answer.Total {
			v.differ("total", "total", fmt.Sprintf("the total of event types is %d instead of %d, their sum", answer.Total, total))
		}
		v.report.EventTypes = len(rows)
		return nil
	}
}

// conclude says what the report comes to.
func (v *verification) conclude() {
	r := &v.report
	r.Events, r.Rejected = v.book.counted, v.book.rejected
	for _, t := range []*rawTopic{v.users, v.events} {
		topic := Topic{Name: t.name, ID: base64.RawURLEncoding.EncodeToString(t.id[:])}
		for _, p := range slices.Sorted(maps.Keys(t.parts)) {
			part := t.parts[p]
			topic.Partitions = append(topic.Partitions, Partition{p, part.start, part.fixed})
			if part.start > 0 {
				r.Unverified = append(r.Unverified, Unverified{What: fmt.Sprintf(
					"%s/%d: the records below offset %d have expired; verified from there on", t.name, p, part.start)})
			}
		}
		r.Topics = append(r.Topics, topic)
	}
	if v.foreign > 0 {
		r.Unverified = append(r.Unverified, Unverified{Rows: v.foreign, What: fmt.Sprintf(
			"%s was made anew: rows have counted events of the topic before it, which is gone; verified from the start of the new one on", v.events.name)})
	}
	if v.unfound > 0 {
		r.Unverified = append(r.Unverified, Unverified{Rows: v.unfound, What: fmt.Sprintf(
			"%s: rows (one is of user %q) show a publication that is not in the topic: it was made anew since, or the rows are wrong", v.users.name, v.exampleUser)})
	}
	r.Equal = r.DifferenceCount == 0 && len(r.Unverified) == 0
}

// Summary says in a sentence what was compared.
func (r *Report) Summary() string {
	var ends []string
	for _, t := range r.Topics {
		total := int64(0)
		for _, p := range t.Partitions {
			total += p.End - p.Start
		}
		ends = append(ends, fmt.Sprintf("%d offsets of %s", total, t.Name))
	}
	return fmt.Sprintf("compared %d users and %d event types with %s: %d events, %d rejected records",
		r.Users, r.EventTypes, strings.Join(ends, " and "), r.Events, r.Rejected)
}
