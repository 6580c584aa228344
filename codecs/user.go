package codecs

import (
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
	return AppendUser(nil, u), nil
}

// Decode implements goka.Codec.
func (UserCodec) Decode(b []byte) (any, error) { return DecodeUser(b) }

// AppendUser appends the record's bytes to dst.
func AppendUser(dst []byte, u *User) []byte {
	dst = appendFormat(dst)
	dst = appendString(dst, 2, u.Name)
	dst = appendString(dst, 3, u.Email)
	return appendMessage(dst, 4, func(dst []byte) []byte {
		dst = appendSint(dst, 1, u.Version.Timestamp)
		dst = appendUint(dst, 2, uint64(u.Version.Partition))
		return appendUint(dst, 3, uint64(u.Version.Offset))
	})
}

// DecodeUser reads what [AppendUser] wrote.
func DecodeUser(b []byte) (*User, error) {
	u := new(User)
	err := readFields(b, func(f field) error {
		switch f.num {
		case 1:
			return f.checkFormat()
		case 2:
			u.Name = string(f.bytes)
		case 3:
			u.Email = string(f.bytes)
		case 4:
			return readFields(f.bytes, func(f field) error {
				switch f.num {
				case 1:
					u.Version.Timestamp = f.sint()
				case 2:
					u.Version.Partition = int32(f.uint)
				case 3:
					u.Version.Offset = int64(f.uint)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decode user: %w", err)
	}
	return u, nil
}
