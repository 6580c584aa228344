package views

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// maxEnds is how many ends are remembered of a partition; it is even, so that the newest stays when every other one is forgotten.
const maxEnds = 256

// ages remembers when which end of a partition was seen, and says from that for how long a record has waited. Brokers know
// the time of a record, too, but only who fetches it is told. Each topic has one reader here.
type ages struct {
	mu sync.Mutex
	of map[partitionKey]*history
}

type partitionKey struct {
	topic     string
	partition int32
}

// history is of one incarnation of a topic; its ends are rising.
type history struct {
	id   kadm.TopicID
	ends []seenEnd
}

// seenEnd is an end, and the times at which it was seen first and last, in Unix nanoseconds.
type seenEnd struct{ end, first, last int64 }

// observe takes a measurement and returns how old the first record is that has not been read, 0 if there is none. It is too much
// by no more than the time between two measurements; of a record that was there before the first one, it is the
// time since then.
func (a *ages) observe(id kadm.TopicID, p Partition, at time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := at.UnixNano()
	key := partitionKey{p.Topic, p.Partition}
	h := a.of[key]
	if h == nil || h.id != id {
		h = &history{id: id}
		if a.of == nil {
			a.of = map[partitionKey]*history{}
		}
		a.of[key] = h
	}
	h.see(p.End, now)
	if p.Lag == 0 {
		return 0
	}
	i, exact := slices.BinarySearchFunc(h.ends, p.Position, func(e seenEnd, offset int64) int { return cmp.Compare(e.end, offset) })
	if !exact {
		i-- // the last end that is not above the position
	}
	if i < 0 {
		return time.Duration(max(0, now-h.ends[0].first))
	}
	h.ends = h.ends[i:] // readers do not go back
	return time.Duration(max(0, now-h.ends[0].last))
}

// see notes an end. One that is lower than what was seen before is older, or of a partition that was truncated: it adds nothing.
func (h *history) see(end, now int64) {
	n := len(h.ends)
	if n > 0 && end <= h.ends[n-1].end {
		if end == h.ends[n-1].end {
			h.ends[n-1].last = max(h.ends[n-1].last, now)
		}
		return
	}
	// The longer the reader has stood still, the less it matters to know its record's age to the second.
	if n > 1 && now-h.ends[n-2].last < (now-h.ends[0].last)/(maxEnds/2) {
		h.ends = h.ends[:n-1]
	}
	h.ends = append(h.ends, seenEnd{end, now, now})
	if len(h.ends) > maxEnds {
		kept := h.ends[:0]
		for i, e := range h.ends {
			if i%2 == 0 {
				kept = append(kept, e)
			}
		}
		h.ends = kept
	}
}
