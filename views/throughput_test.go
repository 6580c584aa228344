package views

import (
	"testing"
	"time"
)

func TestThroughput(t *testing.T) {
	tp := NewThroughput("users", "events")
	at := time.Unix(1_700_000_000, 500)
	sample := func(seconds int, parts ...Partition) {
		tp.Sample(Lag{At: at.Add(time.Duration(seconds) * time.Second), Partitions: parts})
	}
	part := func(p int32, position, end int64) Partition {
		return Partition{Topic: "users", Partition: p, Position: position, End: end, Lag: end - position}
	}
	sample(0, part(0, 5, 10))
	sample(1, part(0, 8, 20))
	sample(1, part(0, 9, 30))                 // not newer
	sample(4, part(0, 20, 27), part(1, 0, 3)) // three seconds; a partition more
	sample(5, part(0, 0, 1))                  // made anew
	points := tp.Points()[0].Points
	want := []struct{ published, consumed, lag int64 }{{0, 0, 5}, {10, 3, 12}, {3, 4, 10}, {3, 4, 10}, {4, 4, 10}, {0, 0, 1}}
	if len(points) != len(want) {
		t.Fatalf("%d points: %+v", len(points), points)
	}
	for i, w := range want {
		p := points[i]
		if p.Published != w.published || p.Consumed != w.consumed || p.Lag != w.lag || p.Time.Unix() != at.Unix()+int64(i) {
			t.Errorf("point %d: %+v, want %+v", i, p, w)
		}
	}
	for i := range 4000 {
		sample(10+i, part(0, int64(i), int64(i)))
	}
	if points = tp.Points()[0].Points; len(points) != throughputPoints || points[899].Published != 1 {
		t.Errorf("%d points", len(points))
	}
}
