package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// What makes a raw record valid, written down once more: package codecs has a judgement of its own, and the two must not
// share a mistake.
const (
	maxDepth = 1000
	maxID    = 4 << 10   // bytes of a user_id or an event type
	maxText  = 256 << 10 // bytes of a name or an e-mail address
)

// eventOf returns what counts of a record of the raw events topic; ok is false if the record is to be rejected.
func eventOf(value []byte) (user, event string, ok bool) {
	f, err := fields(value, "event_timestamp", "user_id", "page", "event")
	if err != nil || len(f["user_id"]) > maxID || len(f["event"]) > maxID {
		return "", "", false
	}
	return f["user_id"], f["event"], true
}

// userOf returns what counts of a record of the raw users topic; ok is false if the record is to be rejected.
func userOf(value []byte) (user, name, email string, ok bool) {
	f, err := fields(value, "event_timestamp", "user_id", "email", "name")
	if err != nil || len(f["user_id"]) > maxID || len(f["name"]) > maxText || len(f["email"]) > maxText {
		return "", "", "", false
	}
	return f["user_id"], f["name"], f["email"], true
}

// fields reads a JSON object that has all the names with strings as their values. Of a name given twice the last counts.
func fields(value []byte, names ...string) (map[string]string, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true))
	found := map[string]string{}
	strange := map[string]bool{} // given with something else than a string
	name := ""
	for {
		depth := d.StackDepth()
		_, members := d.StackIndex(depth)
		t, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if d.StackDepth() > maxDepth {
			return nil, fmt.Errorf("deeper than %d", maxDepth)
		}
		switch {
		case depth == 0 && members > 0:
			return nil, errors.New("more than one value")
		case depth == 0 && t.Kind() != '{':
			return nil, errors.New("not an object")
		case depth != 1 || t.Kind() == '}' || t.Kind() == ']':
		case members%2 == 0: // names and values are counted alike
			name = t.String()
		default:
			delete(found, name)
			if strange[name] = t.Kind() != '"'; !strange[name] {
				found[name] = t.String()
			}
		}
	}
	for _, n := range names {
		if _, ok := found[n]; !ok || strange[n] {
			return nil, fmt.Errorf("no text in %s", n)
		}
	}
	return found, nil
}
