package views

import (
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"
)

// rendered is an answer that is JSON already, of a T.
type rendered[T any] struct{ json []byte }

// Schema implements huma.SchemaProvider.
func (rendered[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}

func (r rendered[T]) text() []byte { return r.json }

// renderer renders rows, from memory where all of a row is there.
type renderer struct {
	index  *Index
	lookup Lookup
}

// append appends a row as JSON, with its marks if they are wanted; nothing if the table was emptied under us.
func (r renderer) append(dst []byte, s *state, marks bool) ([]byte, error) {
	if !marks {
		if out, ok := appendUser(dst, s, r.index.kinds.list()); ok {
			return out, nil
		}
	}
	a, err := r.lookup(s.id)
	if err != nil {
		return dst, fmt.Errorf("read row: %w", err)
	}
	if a == nil {
		return dst, nil
	}
	text, err := marshal(NewUser(s.id, a, marks))
	return append(dst, text...), err
}

// element is append for an element of an array, with the comma behind it.
func (r renderer) element(dst []byte, s *state, marks bool) ([]byte, error) {
	out, err := r.append(dst, s, marks)
	if len(out) > len(dst) {
		out = append(out, ',')
	}
	return out, err
}

// appendUser appends what [NewUser] makes of a row, without marks, as JSON; ok is false if the row has to be read for that.
func appendUser(dst []byte, s *state, kinds []string) (out []byte, ok bool) {
	out = appendText(append(dst, `{"user_id":`...), s.id)
	if s.known {
		out = appendText(append(out, `,"name":`...), s.name)
		out = appendText(append(out, `,"email":`...), s.email)
	} else {
		out = append(out, `,"name":null,"email":null`...)
	}
	out = strconv.AppendUint(append(out, `,"event_count":`...), s.count, 10)
	out = append(out, `,"events":{`...)
	separate := false
	first, ok := s.digest.read(s.last, kinds, func(kind string, count uint64) {
		if separate {
			out = append(out, ',')
		}
		separate = true
		out = strconv.AppendUint(append(appendText(out, kind), ':'), count, 10)
	})
	if !ok {
		return dst, false
	}
	out = appendTime(append(out, `},"first_event_at":`...), first)
	out = appendTime(append(out, `,"last_event_at":`...), s.last)
	return append(out, '}'), true
}

// appendText appends a JSON string. All that is kept is UTF-8, because nothing else is taken from the raw topics.
func appendText(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}

// endOfTime is where RFC 3339 ends, with the year 9999. Any producer can write later times.
const endOfTime = 253402300800000

// appendTime appends milliseconds as RFC 3339, or null.
func appendTime(dst []byte, ms int64) []byte {
	if ms < 0 || ms >= endOfTime {
		return append(dst, "null"...)
	}
	layout := "2006-01-02T15:04:05Z"
	if ms%1000 != 0 {
		layout = "2006-01-02T15:04:05.000Z"
	}
	return append(time.UnixMilli(ms).UTC().AppendFormat(append(dst, '"'), layout), '"')
}
