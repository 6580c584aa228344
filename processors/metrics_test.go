package processors

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/potok-streams/potok/codecs"
)

// Every way to reject a record has a counter before the first one: a counter that begins at 1 is no increase, and alerts nobody.
func TestRejectedFromTheStart(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	names := codecs.Names{Users: "users", Events: "events", Prefix: "p"}
	stages := []string{RekeyUsers(names).Name(), RekeyEvents(names).Name()}
	want := 0
	for _, reason := range codecs.Reasons() {
		if reason != "" {
			want += len(stages)
		}
	}
	if got := testutil.CollectAndCount(m.rejected); got != want {
		t.Fatalf("%d counters, want %d", got, want)
	}
	for _, stage := range stages {
		m.reject(stage, codecs.TooDeep)
	}
	if got := testutil.CollectAndCount(m.rejected); got != want {
		t.Errorf("%d counters after the first rejections, %d before", got, want)
	}
}
