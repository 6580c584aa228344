package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const maxReopen = 15 * time.Second

var (
	errSilent    = errors.New("the stream has gone silent")
	errNotStream = errors.New("the answer is not an event stream")
)

// Update is a change of the results: of some users or of the event types.
type Update struct {
	ID         string      `json:"-"`     // resume behind it with this
	Users      []User      `json:"users"` // rows as they are now: not every state of a row is sent, but always its last; see [WithoutRows]
	EventTypes *EventTypes `json:"-"`     // all of result B, or nil
}

// StreamOption changes a stream.
type StreamOption func(*stream)

// OnConnection calls f with true when a connection is there, and with false and the reason when it has ended or could not
// be made. It is called by the goroutine that ranges over the stream.
func OnConnection(f func(live bool, reason error)) StreamOption {
	return func(s *stream) { s.notify = f }
}

// WithoutSnapshot begins with what changes from now on, and not with all rows, where there is no update to begin behind.
func WithoutSnapshot() StreamOption {
	return func(s *stream) { s.query.Set("snapshot", "none") }
}

// WithoutRows leaves the rows out: an [Update] without event types says only that users have changed. It is for who asks for
// what is in sight whenever there is something new.
func WithoutRows() StreamOption {
	return func(s *stream) { s.query.Set("rows", "none") }
}

// Stream returns what changes, as it changes. It begins with all rows if lastEventID is empty, else behind that update;
// a view that does not know the id (another replica, or one that was started anew) begins with all rows. Lost connections
// are made again, with growing pauses, and resumed. It ends without an error when ctx ends, and with one, the last that it
// yields, if going on makes no sense: a [*Problem] such as 401, or an answer that is not a stream.
func (c *Client) Stream(ctx context.Context, lastEventID string, opts ...StreamOption) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		for e, err := range c.Events(ctx, lastEventID, opts...) {
			u, known := Update{}, true
			if err == nil {
				u, known, err = decode(e)
			}
			if err != nil {
				yield(Update{}, err)
				return
			}
			if !known {
				continue // of a later Potok
			}
			if !yield(u, nil) {
				return
			}
		}
	}
}

// Decode returns the update that an event of [Client.Events] is; an empty one if the event is none that this package knows.
func Decode(e Event) (Update, error) {
	u, _, err := decode(e)
	return u, err
}

func decode(e Event) (u Update, known bool, err error) {
	u.ID = e.ID
	switch e.Name {
	case "users":
		err = json.Unmarshal(e.Data, &u)
	case "event-types":
		u.EventTypes = new(EventTypes)
		err = json.Unmarshal(e.Data, u.EventTypes)
	default:
		return u, false, nil
	}
	if err != nil {
		return u, true, fmt.Errorf("decode event %s: %w", e.Name, err)
	}
	return u, true, nil
}

// Events is [Client.Stream] without the decoding, for who only wants to know that something changed.
func (c *Client) Events(ctx context.Context, lastEventID string, opts ...StreamOption) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := &stream{c: c, id: lastEventID, query: url.Values{}, reopen: c.reopen, yield: yield, notify: func(bool, error) {}}
		for _, o := range opts {
			o(s)
		}
		s.run(ctx)
	}
}

// stream is one iteration over a stream, over all its connections.
type stream struct {
	c      *Client
	id     string // of the last event that was handed on
	query  url.Values
	reopen time.Duration // first pause
	tries  int           // without an event
	notify func(live bool, reason error)
	yield  func(Event, error) bool
}

// errStopped means that whoever ranges over the stream has stopped.
var errStopped = errors.New("stopped")

func (s *stream) run(ctx context.Context) {
	for {
		err := s.follow(ctx)
		if errors.Is(err, errStopped) || ctx.Err() != nil {
			return
		}
		if final(err) {
			s.yield(Event{}, err)
			return
		}
		s.notify(false, err)
		if !sleep(ctx, max(backoff(s.tries, s.reopen, maxReopen), min(retryAfter(err), maxReopen))) {
			return
		}
		s.tries++
	}
}

// follow makes one connection and hands on its events until it ends.
func (s *stream) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"}}
	if s.id != "" && !strings.ContainsFunc(s.id, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		header.Set("Last-Event-ID", s.id)
	}
	alive := time.AfterFunc(s.c.silence, func() { cancel(errSilent) })
	defer alive.Stop()
	resp, err := s.c.send(ctx, s.c.listen, "/v1/stream", s.query, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/event-stream" {
		return errNotStream
	}
	alive.Stop()
	s.notify(true, nil)
	p := newParser(&watched{r: resp.Body, alive: alive, silence: s.c.silence}, s.id, s.c.maxEvent)
	for {
		e, err := p.next()
		if p.retry > 0 {
			s.reopen = min(p.retry, maxReopen)
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("stream: %w", err)
		}
		s.id, s.tries = e.ID, 0
		if !s.yield(e, nil) {
			return errStopped
		}
	}
}

// watched ends the connection when a read takes too long. Time that the consumer takes between reads does not count.
type watched struct {
	r       io.Reader
	alive   *time.Timer
	silence time.Duration
}

func (w *watched) Read(b []byte) (int, error) {
	w.alive.Reset(w.silence)
	defer w.alive.Stop()
	return w.r.Read(b)
}

// final says that connecting again would end the same way.
func final(err error) bool {
	var problem *Problem
	if errors.As(err, &problem) {
		switch problem.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return false
		}
		return problem.Status < http.StatusInternalServerError
	}
	return errors.Is(err, errNotStream) || !passing(err)
}
