package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"time"
)

const usersPath = "/v1/users"

// User is a row of result A.
type User struct {
	UserID          string            `json:"user_id"`
	Name            *string           `json:"name"`  // nil while the user is not known
	Email           *string           `json:"email"` // nil while the user is not known
	EventCount      uint64            `json:"event_count"`
	Events          map[string]uint64 `json:"events"`                     // by type, at most 1,000 types
	EventsTruncated bool              `json:"events_truncated,omitempty"` // there are more types than in Events
	FirstEventAt    *time.Time        `json:"first_event_at"`             // lowest Kafka time stamp of the user's events
	LastEventAt     *time.Time        `json:"last_event_at"`              // highest
	Marks           *RowMarks         `json:"marks,omitempty"`            // if asked for
}

// RowMarks say up to where the raw topics are in a user's row.
type RowMarks struct {
	User   *UserMark `json:"user,omitempty"` // nil while the user is not known
	Events []Mark    `json:"events"`
}

// UserMark is the publication that a row's name and email are from.
type UserMark struct {
	Timestamp int64 `json:"timestamp"` // Kafka's, milliseconds
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Mark is the highest offset of a raw partition that a row has counted.
type Mark struct {
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Sort is an order of the users; ties go by user id.
type Sort string

// The orders.
const (
	ByEventCountDesc Sort = "-event_count" // the default
	ByEventCount     Sort = "event_count"
	ByUserID         Sort = "user_id"
	ByName           Sort = "name"
	ByLastEventDesc  Sort = "-last_event_at"
)

// UsersQuery asks for users. Its zero value asks for the first page of those who made the most events.
type UsersQuery struct {
	Limit      int    // most rows on a page, 1 to 1,000; 0 is 100. A page of very large rows has fewer
	Cursor     string // NextCursor of the page before, of the same query
	Sort       Sort
	Query      string // part of name, email or id, without regard to case
	IncludeAll bool   // users without events and events without a user, too
	Marks      bool   // with the rows' marks
}

func (q UsersQuery) values() url.Values {
	v := url.Values{}
	set := func(name, value string, ok bool) {
		if ok {
			v.Set(name, value)
		}
	}
	set("limit", strconv.Itoa(q.Limit), q.Limit != 0)
	set("cursor", q.Cursor, q.Cursor != "")
	set("sort", string(q.Sort), q.Sort != "")
	set("q", q.Query, q.Query != "")
	set("include", "all", q.IncludeAll)
	set("marks", "1", q.Marks)
	return v
}

// UsersPage is one page of result A.
type UsersPage struct {
	Users      []User `json:"users"`
	NextCursor string `json:"next_cursor,omitempty"` // empty on the last page
	Reply      `json:"-"`
}

// Users returns one page.
func (c *Client) Users(ctx context.Context, q UsersQuery) (page UsersPage, err error) {
	page.Reply, err = answer(ctx, c, usersPath, q.values(), &page)
	return page, err
}

// UserPages returns the pages from q on, to the last. An error is the last that it yields. A row that does not change
// meanwhile comes exactly once.
func (c *Client) UserPages(ctx context.Context, q UsersQuery) iter.Seq2[UsersPage, error] {
	return func(yield func(UsersPage, error) bool) {
		for {
			page, err := c.Users(ctx, q)
			if err == nil && page.NextCursor != "" && page.NextCursor == q.Cursor {
				err = errors.New("the page after this one is this one again")
			}
			if !yield(page, err) || err != nil || page.NextCursor == "" {
				return
			}
			q.Cursor = page.NextCursor
		}
	}
}

// AllUsers returns the rows of all pages from q on. An error is the last that it yields.
func (c *Client) AllUsers(ctx context.Context, q UsersQuery) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		for page, err := range c.UserPages(ctx, q) {
			if err != nil {
				yield(User{}, err)
				return
			}
			for _, u := range page.Users {
				if !yield(u, nil) {
					return
				}
			}
		}
	}
}

// Extra asks for what an answer does not have by default.
type Extra string

// WithMarks asks for the rows' marks.
const WithMarks Extra = "marks"

func extras(all []Extra) url.Values {
	v := url.Values{}
	for _, e := range all {
		v.Set(string(e), "1")
	}
	return v
}

// UserReply is one user.
type UserReply struct {
	User
	Reply `json:"-"`
}

// User returns one user, by any id that Kafka's records may have. It is a [*Problem] with status 404 if neither the user
// nor an event of it is known.
func (c *Client) User(ctx context.Context, id string, with ...Extra) (u UserReply, err error) {
	u.Reply, err = answer(ctx, c, usersPath+"/"+segment(id), extras(with), &u)
	if err == nil && u.UserID != id {
		return u, fmt.Errorf("asked for user %q and got %q", id, u.UserID)
	}
	return u, err
}

// segment writes an id so that it is one segment of a path, whoever handles it on the way.
func segment(id string) string {
	switch id {
	case ".":
		return "%2E"
	case "..":
		return "%2E%2E"
	default:
		return url.PathEscape(id)
	}
}

// EventType is a row of result B.
type EventType struct {
	Event string `json:"event"`
	Count uint64 `json:"count"`
	Marks []Mark `json:"marks,omitempty"` // if asked for
}

// EventTypes is result B, largest first.
type EventTypes struct {
	Types []EventType `json:"event_types"`
	Total uint64      `json:"total"`
	Reply `json:"-"`
}

// EventTypes returns result B.
func (c *Client) EventTypes(ctx context.Context, with ...Extra) (t EventTypes, err error) {
	t.Reply, err = answer(ctx, c, "/v1/event-types", extras(with), &t)
	return t, err
}

// Stats are totals, and how far the raw topics are read.
type Stats struct {
	UsersKnown           uint64          `json:"users_known"`
	UsersWithEvents      uint64          `json:"users_with_events"`
	EventsCounted        uint64          `json:"events_counted"`
	EventsOfUnknownUsers uint64          `json:"events_of_unknown_users"`
	MessagesRejected     uint64          `json:"messages_rejected"`
	Lost                 uint64          `json:"lost"` // raw records that expired unread
	Rejected             []RejectedCount `json:"rejected"`
	Partitions           []Partition     `json:"partitions"`
	Reply                `json:"-"`
}

// RejectedCount is how many records of a raw topic were rejected for a reason.
type RejectedCount struct {
	Topic  string `json:"topic"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// Partition is how far a raw partition is read.
type Partition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Position  int64  `json:"position"` // next offset to read
	End       int64  `json:"end"`      // next offset to be written
	Lag       int64  `json:"lag"`
}

// Stats returns the totals. The view measures its lag anew for them.
func (c *Client) Stats(ctx context.Context) (s Stats, err error) {
	s.Reply, err = answer(ctx, c, "/v1/stats", nil, &s)
	return s, err
}

// Throughput is the last 15 minutes of the raw topics.
type Throughput struct {
	Topics []TopicPoints `json:"topics"`
	Reply  `json:"-"`
}

// TopicPoints is one topic's last 15 minutes, a point a second, oldest first; seconds without a measurement are left out.
type TopicPoints struct {
	Topic  string  `json:"topic"`
	Points []Point `json:"points"`
}

// Point is one second of a topic, in records.
type Point struct {
	Time      time.Time `json:"time"`
	Published int64     `json:"published"`
	Consumed  int64     `json:"consumed"`
	Lag       int64     `json:"lag"` // at the second's end
}

// Throughput returns the last 15 minutes.
func (c *Client) Throughput(ctx context.Context) (t Throughput, err error) {
	t.Reply, err = answer(ctx, c, "/v1/throughput", nil, &t)
	return t, err
}
