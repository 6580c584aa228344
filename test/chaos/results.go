//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// results are what a view serves.
type results struct {
	users map[string]row
	types map[string]uint64
	stats stats
}

type row struct {
	Name, Email *string
	Count       uint64
	Events      map[string]uint64
	First, Last *int64 // milliseconds
}

type stats struct {
	UsersKnown    int    `json:"users_known"`
	WithEvents    int    `json:"users_with_events"`
	Counted       uint64 `json:"events_counted"`
	UnknownEvents uint64 `json:"events_of_unknown_users"`
	Rejected      uint64 `json:"messages_rejected"`
	Lost          uint64 `json:"lost"`
}

// viewClient waits longer than the view waits for the broker.
func viewClient() *http.Client { return &http.Client{Timeout: 15 * time.Second} }

// ask reads an answer, which must be 200, and its Potok-Lag.
func ask(base, path string, into any) (lag string, err error) {
	resp, err := viewClient().Get(base + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %.300s", path, resp.Status, body)
	}
	return resp.Header.Get("Potok-Lag"), json.Unmarshal(body, into)
}

// served reads everything that a view serves. Rows that are listed twice are an error, as nothing changes meanwhile.
func served(base string) (results, error) {
	got := results{users: map[string]row{}, types: map[string]uint64{}}
	for cursor := ""; ; {
		var page struct {
			Users []struct {
				ID      string            `json:"user_id"`
				Name    *string           `json:"name"`
				Email   *string           `json:"email"`
				Count   uint64            `json:"event_count"`
				Events  map[string]uint64 `json:"events"`
				FirstAt *time.Time        `json:"first_event_at"`
				LastAt  *time.Time        `json:"last_event_at"`
			} `json:"users"`
			Next string `json:"next_cursor"`
		}
		if _, err := ask(base, "/v1/users?include=all&sort=user_id&limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return got, err
		}
		for _, u := range page.Users {
			if _, twice := got.users[u.ID]; twice {
				return got, fmt.Errorf("user %q is listed twice", u.ID)
			}
			got.users[u.ID] = row{u.Name, u.Email, u.Count, u.Events, milliseconds(u.FirstAt), milliseconds(u.LastAt)}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	var types struct {
		EventTypes []struct {
			Event string `json:"event"`
			Count uint64 `json:"count"`
		} `json:"event_types"`
	}
	if _, err := ask(base, "/v1/event-types", &types); err != nil {
		return got, err
	}
	for _, t := range types.EventTypes {
		got.types[t.Event] = t.Count
	}
	lag, err := ask(base, "/v1/stats", &got.stats)
	if err == nil && lag != "0" {
		err = errors.New("lag has become " + lag)
	}
	return got, err
}

func milliseconds(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// difference is a row that is not as it must be.
type difference struct {
	user *string // nil: not a user's
	text string
}

// compare returns the differences, in order.
func compare(want, got results) (out []difference) {
	for _, id := range slices.Sorted(maps.Keys(want.users)) {
		g, ok := got.users[id]
		if w := want.users[id]; !ok || text(w) != text(g) {
			d := difference{&id, fmt.Sprintf("user %.60q\n  want %s\n  got  %s", id, text(w), text(g))}
			if !ok {
				d.text = fmt.Sprintf("user %.60q\n  want %s\n  got  nothing", id, text(w))
			}
			out = append(out, d)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got.users)) {
		if _, ok := want.users[id]; !ok {
			out = append(out, difference{&id, fmt.Sprintf("user %.60q is nobody\n  got  %s", id, text(got.users[id]))})
		}
	}
	for _, e := range slices.Sorted(maps.Keys(want.types)) {
		if w, g := want.types[e], got.types[e]; w != g {
			out = append(out, difference{nil, fmt.Sprintf("event type %q: want %d, got %d", e, w, g)})
		}
	}
	for _, e := range slices.Sorted(maps.Keys(got.types)) {
		if _, ok := want.types[e]; !ok {
			out = append(out, difference{nil, fmt.Sprintf("event type %q was never published, got %d", e, got.types[e])})
		}
	}
	if want.stats != got.stats {
		out = append(out, difference{nil, fmt.Sprintf("stats\n  want %+v\n  got  %+v", want.stats, got.stats)})
	}
	return out
}

func text(r row) string {
	b, err := json.Marshal(r) // maps come out sorted
	if err != nil {
		return err.Error()
	}
	return string(b)
}
