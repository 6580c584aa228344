package views

import (
	"encoding/base64"

	"github.com/potok-streams/potok/codecs"
)

// User is a row of result A, as the contract's USER.
type User struct {
	UserID          string            `json:"user_id"`
	Name            *string           `json:"name" doc:"null while the user is not known"`
	Email           *string           `json:"email" doc:"null while the user is not known"`
	EventCount      uint64            `json:"event_count"`
	Events          map[string]uint64 `json:"events" doc:"Counts by event type, at most 1,000 types"`
	EventsTruncated bool              `json:"events_truncated,omitempty" doc:"There are more event types than events lists"`
	FirstEventAt    *string           `json:"first_event_at" format:"date-time" doc:"Lowest Kafka time stamp of the user's events"`
	LastEventAt     *string           `json:"last_event_at" format:"date-time" doc:"Highest Kafka time stamp of the user's events"`
	Marks           *Marks            `json:"marks,omitempty" doc:"What of the raw topics is in this row; with marks=1"`
}

// Marks say up to where the raw topics are in a row.
type Marks struct {
	User   *UserMark `json:"user,omitempty" doc:"The publication that name and email are from; absent while the user is not known"`
	Events []Mark    `json:"events" nullable:"false"`
}

// UserMark is the publication of a user that a row shows, in the raw topic of users.
type UserMark struct {
	Timestamp int64 `json:"timestamp" doc:"Kafka time stamp in milliseconds"`
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Mark is the highest offset of a raw partition that a row has counted.
type Mark struct {
	TopicID   string `json:"topic_id" doc:"The topic's id as Kafka's tools print it"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// NewUser renders a row.
func NewUser(userID string, a *codecs.Activity, marks bool) User {
	t := &a.Tally
	u := User{UserID: userID, EventCount: t.Count, EventsTruncated: t.Truncated, Events: make(map[string]uint64, len(t.Labels))}
	for _, l := range t.Labels[:min(len(t.Labels), codecs.MaxLabels)] {
		u.Events[l.Label] = l.Count
	}
	if a.User != nil {
		u.Name, u.Email = &a.User.Name, &a.User.Email
	}
	if t.Span.Known {
		u.FirstEventAt, u.LastEventAt = timeText(t.Span.First), timeText(t.Span.Last)
	}
	if marks {
		u.Marks = &Marks{Events: marksOf(t.Marks)}
		if a.User != nil {
			v := a.User.Version
			u.Marks.User = &UserMark{Timestamp: v.Timestamp, Partition: v.Partition, Offset: v.Offset}
		}
	}
	return u
}

func marksOf(marks []codecs.Mark) []Mark {
	out := make([]Mark, len(marks))
	for i, m := range marks {
		out[i] = Mark{TopicID: base64.RawURLEncoding.EncodeToString(m.Topic[:]), Partition: m.Partition, Offset: m.Offset}
	}
	return out
}

// timeText is appendTime's text, nil for null.
func timeText(ms int64) *string {
	var buf [32]byte
	b := appendTime(buf[:0], ms)
	if b[0] != '"' {
		return nil
	}
	text := string(b[1 : len(b)-1])
	return &text
}
