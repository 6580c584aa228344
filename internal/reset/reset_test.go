package reset

import (
	"slices"
	"strings"
	"testing"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/topology"
)

// The order keeps a reset that was cut short harmless: see the package's comment.
func TestStreamsAreDeletedBeforeTables(t *testing.T) {
	t.Parallel()
	names, err := deletable(topology.Config{Names: codecs.DefaultNames(), Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 7 {
		t.Errorf("got %v", names)
	}
	table := slices.IndexFunc(names, func(n string) bool { return strings.HasSuffix(n, "-table") })
	if slices.ContainsFunc(names[table:], func(n string) bool { return strings.HasSuffix(n, "-stream") }) {
		t.Errorf("a table goes before a stream: %v", names)
	}
	for _, raw := range []string{"CorpAppsTopic", "test"} {
		if slices.Contains(names, raw) {
			t.Errorf("raw topic %s would be deleted", raw)
		}
	}
}

func TestRawTopicCalledLikeOurs(t *testing.T) {
	t.Parallel()
	n := codecs.DefaultNames()
	n.Events = n.DeadLetters() // somebody counts dead letters
	if _, err := deletable(topology.Config{Names: n, Partitions: 4}); err == nil {
		t.Error("a raw topic would be deleted")
	}
}
