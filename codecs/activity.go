package codecs

import (
	"bytes"
	"fmt"
)

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
	var buf [rowBuffer]byte
	return bytes.Clone(AppendActivity(buf[:0], a)), nil
}

// Decode implements goka.Codec.
func (ActivityCodec) Decode(b []byte) (any, error) { return DecodeActivity(b) }

// AppendActivity appends the record's bytes to dst.
func AppendActivity(dst []byte, a *Activity) []byte {
	dst = appendFormat(dst)
	if a.User != nil {
		next, at := openMessage(dst, 2)
		dst = closeMessage(AppendUser(next, a.User), at)
	}
	if len(a.Tally.Marks) > 0 {
		next, at := openMessage(dst, 3)
		dst = closeMessage(AppendTally(next, &a.Tally), at)
	}
	return dst
}

// DecodeActivity reads what [AppendActivity] wrote.
func DecodeActivity(b []byte) (*Activity, error) {
	a := new(Activity)
	if err := a.decode(b, everything); err != nil {
		return nil, err
	}
	return a, nil
}

// DecodeSummary reads of such a row what answers have of it, in less time: the tally has no marks.
func DecodeSummary(b []byte) (*Activity, error) {
	a := new(Activity)
	if err := a.decode(b, summary); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Activity) decode(b []byte, what detail) error {
	err := readFields(b, func(f field) error {
		switch f.num {
		case 1:
			return f.checkFormat()
		case 2:
			a.User = new(User)
			return a.User.decode(f.bytes, what)
		case 3:
			a.Tally = Tally{}
			return a.Tally.decode(f.bytes, what)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("decode activity: %w", err)
	}
	return nil
}

// Age is how new a state of a row is, among the states of that row.
type Age struct {
	Count   uint64  // of the tally
	Known   bool    // there is a user
	Version Version // of the user
}

// Age returns how new the row is.
func (a *Activity) Age() Age {
	age := Age{Count: a.Tally.Count}
	if a.User != nil {
		age.Known, age.Version = true, a.User.Version
	}
	return age
}

// Supersedes reports whether [MergeActivities] of a row of this age, as the first, and one of the old age is the first. The
// tally's count says as much as its marks, because all states of a row lie on one chain (see [MergeTallies]), on which a mark
// moves only when something is counted. Where two have diverged, the one that has counted more is kept.
func (g Age) Supersedes(old Age) bool {
	return g.Count >= old.Count && (!old.Known || g.Known && g.Version.Compare(old.Version) >= 0)
}

// ActivitySupersedes reports whether [MergeActivities] of an incoming row and an old one, as they are written, is the incoming
// one. That is nearly always so, and takes less than half of the time to find out that decoding both does.
func ActivitySupersedes(incoming, old []byte) (bool, error) {
	var i, o Activity
	if err := i.decode(incoming, coverage); err != nil {
		return false, err
	}
	if err := o.decode(old, coverage); err != nil {
		return false, err
	}
	return i.Tally.Covers(&o.Tally) && NewerUser(i.User, o.User) == i.User, nil
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
