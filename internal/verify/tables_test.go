package verify

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestStepBehind(t *testing.T) {
	t.Parallel()
	s := step{group: "g", topic: "raw", id: "new", ends: map[int32]int64{0: 5, 1: 0, 2: 7}}
	committed := func(id string, at0, at2 int64) kadm.OffsetResponses {
		commit := func(p int32, at int64) kadm.OffsetResponse {
			return kadm.OffsetResponse{Offset: kadm.Offset{Topic: "raw", Partition: p, At: at, Metadata: id}}
		}
		return kadm.OffsetResponses{"raw": {0: commit(0, at0), 2: commit(2, at2)}}
	}
	for name, tc := range map[string]struct {
		committed kadm.OffsetResponses
		want      string
	}{
		"passed":              {committed("new", 5, 7), ""},
		"further":             {committed("new", 50, 70), ""},
		"behind":              {committed("new", 5, 6), "group g is at offset 6 of raw/2, which ended at 7"},
		"nothing":             {nil, "group g has read nothing of raw/0"},
		"another incarnation": {committed("old", 5, 7), "has read nothing of raw/0"},
	} {
		if got := s.behind(tc.committed); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
