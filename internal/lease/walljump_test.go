package lease

import (
	"time"
	"unsafe"
)

// wallJump returns a time whose monotonic reading is t's and whose wall clock is d later. No function of package time does
// that; a time with a monotonic reading has the wall seconds since 1885 in 33 bits above 30 bits of nanoseconds.
func wallJump(t time.Time, d time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(d/time.Second) << 30
	return t
}
