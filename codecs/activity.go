package codecs

import "fmt"

// Activity is a row of the activity table: what is known of a user, and what they did.
type Activity struct {
	User  *User // nil until the user is known
	Tally Tally
}

// ActivityCodec is goka's codec for [Activity]: encodes and decodes *Activity.
type ActivityCodec struct{}

// Encode implements goka.Codec.
func (ActivityCodec) Encode(v any) ([]byte, error) {
	a, ok := v.(*Activity)
	if !ok {
		return nil, fmt.Errorf("encode activity: got a %T", v)
	}
	return AppendActivity(nil, a), nil
}

// Decode implements goka.Codec.
func (ActivityCodec) Decode(b []byte) (any, error) { return DecodeActivity(b) }

// AppendActivity appends the record's bytes to dst.
func AppendActivity(dst []byte, a *Activity) []byte {
	dst = appendFormat(dst)
	if a.User != nil {
		dst = appendMessage(dst, 2, func(dst []byte) []byte { return AppendUser(dst, a.User) })
	}
	if len(a.Tally.Marks) > 0 {
		dst = appendMessage(dst, 3, func(dst []byte) []byte { return AppendTally(dst, &a.Tally) })
	}
	return dst
}

// DecodeActivity reads what [AppendActivity] wrote.
func DecodeActivity(b []byte) (*Activity, error) {
	a := new(Activity)
	err := readFields(b, func(f field) (err error) {
		switch f.num {
		case 1:
			return f.checkFormat()
		case 2:
			a.User, err = DecodeUser(f.bytes)
		case 3:
			var t *Tally
			if t, err = DecodeTally(f.bytes); err == nil {
				a.Tally = *t
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("decode activity: %w", err)
	}
	return a, nil
}

// MergeActivities returns the later of two states of one row: the newer user, and the tally that has counted more.
func MergeActivities(a, b *Activity) (later *Activity, diverged bool) {
	switch {
	case a == nil:
		return b, false
	case b == nil:
		return a, false
	}
	tally, diverged := MergeTallies(&a.Tally, &b.Tally)
	return &Activity{User: NewerUser(a.User, b.User), Tally: *tally}, diverged
}
