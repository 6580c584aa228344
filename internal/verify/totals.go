package verify

import (
	"context"
	"fmt"
)

// compareTotals compares /v1/stats. Totals have no marks: each must be at least what it was at the fixed ends, and at most
// what it was when the raw topics were read to where they ended after the answer. While nothing is written, that is one
// number. It is not done where something could not be verified: totals are of everything there ever was.
func (v *verification) compareTotals(ctx context.Context) error {
	if v.foreign+v.unfound > 0 {
		return nil
	}
	for _, t := range []*rawTopic{v.users, v.events} {
		for _, p := range t.parts {
			if p.start > 0 {
				return nil
			}
		}
	}
	least := v.book.fixed()
	for {
		final, err := v.final(ctx)
		if err != nil {
			return err
		}
		s, err := v.Server.Stats(ctx)
		if err != nil {
			return fmt.Errorf("ask the view: %w", err)
		}
		if err := v.reader.refresh(ctx); err != nil {
			return err
		}
		to := reach{}
		for name, t := range v.reader.topics {
			for p, part := range t.parts {
				to.add(name, p, part.end)
			}
		}
		if err := v.reader.readTo(ctx, to); err != nil {
			return err
		}
		most := v.book.all()
		var wrong []Difference
		low := false
		check := func(name string, got, least, most uint64) {
			if got >= least && got <= most {
				return
			}
			low = low || got < least
			want := fmt.Sprint(least)
			if least != most {
				want += fmt.Sprintf(" to %d", most)
			}
			wrong = append(wrong, Difference{"total", name, fmt.Sprintf("%d instead of %s", got, want)})
		}
		check("users_known", s.UsersKnown, least.known, most.known)
		check("users_with_events", s.UsersWithEvents, least.withEvents, most.withEvents)
		check("events_counted", s.EventsCounted, least.counted, most.counted)
		check("messages_rejected", s.MessagesRejected, least.rejected, most.rejected)
		if len(v.book.laterUsers)+len(v.book.laterEvents) == 0 { // else it may have gone up and down
			check("events_of_unknown_users", s.EventsOfUnknownUsers, least.ofUnknown, most.ofUnknown)
		}
		if low && !final {
			if !pause(ctx, waitPause) {
				return fmt.Errorf("totals of the view are behind: %w", context.Cause(ctx))
			}
			continue
		}
		for _, d := range wrong {
			v.differ(d.Kind, d.Key, d.What)
		}
		return nil
	}
}
