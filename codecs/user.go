package codecs

import (
	"bytes"
	"cmp"
	"fmt"
)

// User is the latest publication of a user that a stage knows of.
type User struct {
	Name    string
	Email   string
	Version Version
}

// Version orders the publications of one user: by the raw record's Kafka time stamp, then partition, then offset.
type Version struct {
	Timestamp int64 // milliseconds since 1970 UTC
	Partition int32
	Offset    int64
}

// Compare returns -1, 0 or 1 as v is older than, the same as or newer than w.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Timestamp, w.Timestamp), cmp.Compare(v.Partition, w.Partition), cmp.Compare(v.Offset, w.Offset))
}

// NewerUser returns the newer of two publications of a user; nil is older than any.
func NewerUser(a, b *User) *User {
	switch {
	case a == nil:
		return b
	case b == nil || a.Version.Compare(b.Version) >= 0:
		return a
	default:
		return b
	}
}

// UserCodec is goka's codec for [User]: encodes and decodes *User.
type UserCodec struct{}

// Encode implements goka.Codec.
func (UserCodec) Encode(v any) ([]byte, error) {
	u, ok := v.(*User)
	if !ok {
		return nil, fmt.Errorf("encode user: got a %T", v)
	}
	var buf [rowBuffer]byte
	return bytes.Clone(AppendUser(buf[:0], u)), nil
}

// Decode implements goka.Codec.
func (UserCodec) Decode(b []byte) (any, error) { return DecodeUser(b) }

// AppendUser appends the record's bytes to dst.
func AppendUser(dst []byte, u *User) []byte {
	dst = appendFormat(dst)
	dst = appendString(dst, 2, u.Name)
	dst = appendString(dst, 3, u.Email)
	dst, at := openMessage(dst, 4)
	dst = appendSint(dst, 1, u.Version.Timestamp)
	dst = appendUint(dst, 2, uint64(u.Version.Partition))
	dst = appendUint(dst, 3, uint64(u.Version.Offset))
	return closeMessage(dst, at)
}

// DecodeUser reads what [AppendUser] wrote.
func DecodeUser(b []byte) (*User, error) {
	u := new(User)
	if err := u.decode(b, everything); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *User) decode(b []byte, what detail) error {
	texts := texts{record: b}
	err := readFields(b, func(f field) error {
		switch f.num {
		case 1:
			return f.checkFormat()
		case 2:
			if what&ofUser != 0 {
				u.Name = texts.of(f.bytes)
			}
		case 3:
			if what&ofUser != 0 {
				u.Email = texts.of(f.bytes)
			}
		case 4:
			return u.Version.read(f.bytes)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("decode user: %w", err)
	}
	return nil
}

func (v *Version) read(b []byte) error {
	return readFields(b, func(f field) error {
		switch f.num {
		case 1:
			v.Timestamp = f.sint()
		case 2:
			v.Partition = int32(f.uint)
		case 3:
			v.Offset = int64(f.uint)
		}
		return nil
	})
}
