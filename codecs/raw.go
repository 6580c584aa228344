package codecs

import (
	"fmt"
	"slices"
)

// Limits of a raw record. Sizes are bytes of UTF-8 after unescaping.
const (
	MaxIDBytes   = 4096      // of a user_id and of an event type: they become record keys
	MaxNameBytes = 256 << 10 // of a name and of an e-mail address
	MaxDepth     = 1000      // of objects and arrays in one another; the record itself is the first
)

// Reason is the short name of why a record was rejected, as a dead letter's header has it.
type Reason string

// All the reasons there are.
const (
	NotJSON      Reason = "not_json"      // not well-formed UTF-8 JSON, or no value at all
	WrongType    Reason = "wrong_type"    // not an object, or a required field that is not a string
	MissingField Reason = "missing_field" // an object without a required field
	TooLarge     Reason = "too_large"     // a field over its limit
	TooDeep      Reason = "too_deep"      // nested deeper than MaxDepth
)

// Reasons lists them.
func Reasons() [5]Reason {
	return [...]Reason{NotJSON, WrongType, MissingField, TooLarge, TooDeep}
}

// One error for each [Reason], for [errors.Is].
var (
	ErrNotJSON      error = &RejectError{Reason: NotJSON}
	ErrWrongType    error = &RejectError{Reason: WrongType}
	ErrMissingField error = &RejectError{Reason: MissingField}
	ErrTooLarge     error = &RejectError{Reason: TooLarge}
	ErrTooDeep      error = &RejectError{Reason: TooDeep}
)

// RejectError says why a raw record is not valid. The record itself is at fault and will be every time it is read: it
// belongs in the dead letter queue, and trying again is of no use.
//
// Detail is for people. It may name one of the required fields or a byte position (the first is 0), and has nothing that
// was in the record, so it can be logged.
type RejectError struct {
	Reason Reason
	Detail string
}

func (e *RejectError) Error() string {
	if e.Detail == "" {
		return "record rejected: " + string(e.Reason)
	}
	return "record rejected: " + string(e.Reason) + ": " + e.Detail
}

// Is reports whether the target is the error that stands for e's reason.
func (e *RejectError) Is(target error) bool {
	t, ok := target.(*RejectError)
	return ok && t.Reason == e.Reason && t.Detail == ""
}

// RawEvent is what Potok needs of a record on the events topic. The slices are UTF-8 and may be empty, never nil.
type RawEvent struct {
	UserID, Event []byte
}

// RawUser is what Potok needs of a record on the users topic. The slices are UTF-8 and may be empty, never nil.
type RawUser struct {
	UserID, Name, Email []byte
}

// The required fields in the order of the schemas. Both are constants that Go has no way to write as such.
var (
	eventShape = shape{{"event_timestamp", 0}, {"user_id", MaxIDBytes}, {"page", 0}, {"event", MaxIDBytes}}
	userShape  = shape{{"event_timestamp", 0}, {"user_id", MaxIDBytes}, {"email", MaxNameBytes}, {"name", MaxNameBytes}}
)

// Decoder decodes raw records. It accepts a value if and only if it is well-formed JSON (RFC 8259) in valid UTF-8, the
// topic's JSON Schema (package schemas) accepts it, and it is within the limits above. Names match exactly, after
// unescaping; of a field given twice the last counts; other fields must be well-formed and are ignored.
//
// When several things are wrong with a value, what breaks the scan is reported first (not JSON or too deep, whichever
// comes earlier in the text), then the first required field that is missing or of the wrong type, then sizes.
//
// The zero value is ready for use, by one goroutine at a time. What it returns aliases the value or the Decoder's own
// buffer: it is valid until the next call and as long as the value is not changed. A valid record costs no allocation
// once the buffer has grown, which it does to well under a megabyte.
type Decoder struct {
	scanner
	scratch []byte
}

// Event decodes the value of a record on the events topic. Every error is a *[RejectError].
func (d *Decoder) Event(value []byte) (RawEvent, error) {
	if err := d.decode(value, &eventShape); err != nil {
		return RawEvent{}, err
	}
	return RawEvent{UserID: d.field(value, 1), Event: d.field(value, 3)}, nil
}

// User decodes the value of a record on the users topic. Every error is a *[RejectError].
func (d *Decoder) User(value []byte) (RawUser, error) {
	if err := d.decode(value, &userShape); err != nil {
		return RawUser{}, err
	}
	return RawUser{UserID: d.field(value, 1), Email: d.field(value, 2), Name: d.field(value, 3)}, nil
}

// decode finds the wanted fields in a valid value, and makes the buffer large enough for them.
func (d *Decoder) decode(value []byte, want *shape) error {
	if !d.scan(value, want) {
		switch {
		case value == nil:
			return &RejectError{NotJSON, "value is null"}
		case len(value) == 0:
			return &RejectError{NotJSON, "value is empty"}
		}
		return &RejectError{d.reason, fmt.Sprintf("%s at byte %d", d.what, d.at)}
	}
	if !d.object {
		return &RejectError{WrongType, "value is not an object"}
	}
	for k := range want {
		switch d.found[k].kind {
		case absent:
			return &RejectError{MissingField, "no field " + want[k].name}
		case otherType:
			return &RejectError{WrongType, want[k].name + " is not a string"}
		}
	}
	escaped := 0
	for k := range want {
		f, limit := &d.found[k], want[k].limit
		if limit == 0 {
			continue // a field without a limit is never unescaped either
		}
		if f.size() > limit {
			return &RejectError{TooLarge, fmt.Sprintf("%s has %d bytes, more than %d", want[k].name, f.size(), limit)}
		}
		if f.shrink > 0 {
			escaped += f.size()
		}
	}
	// All at once, because growing between two fields would leave a buffer too small for both, record after record.
	d.scratch = slices.Grow(d.scratch[:0], escaped)
	return nil
}

// field returns what the k-th field says. Its capacity ends with it, so that appending can't spoil what follows.
func (d *Decoder) field(value []byte, k int) []byte {
	f := &d.found[k]
	if f.shrink == 0 {
		return value[f.start:f.end:f.end]
	}
	from := len(d.scratch)
	d.scratch = unescape(d.scratch, value[f.start:f.end])
	return d.scratch[from:len(d.scratch):len(d.scratch)]
}
