package dlq

import (
	"cmp"
	"slices"
)

// cuts returns up to where each partition can be deleted, for those where that deletes something. Before a cut there are
// only letters of purged entries, and notes about entries none of whose letters are left once this partition is cut (those
// in other partitions must be gone already, for partitions are not cut together) and that settled says no stage will write
// again. Deleting may make way for more.
func (x *index) cuts(settled func(Origin) bool) map[int32]int64 {
	cuts := map[int32]int64{}
	for partition, items := range x.items {
		cut := x.end[partition]
		for {
			i := slices.IndexFunc(items, func(it item) bool { return it.offset >= cut || x.blocks(it, partition, cut, settled) })
			if i < 0 || items[i].offset >= cut {
				break
			}
			cut = items[i].offset // a note before it may now be about a letter that stays
		}
		if len(items) > 0 && items[0].offset < cut {
			cuts[partition] = cut
		}
	}
	return cuts
}

// blocks says whether a record must stay when its partition is cut.
func (x *index) blocks(it item, partition int32, cut int64, settled func(Origin) bool) bool {
	switch it.kind {
	case letter:
		return it.entry.Purged.IsZero()
	case note:
		stays := func(p Place) bool { return p.Partition != partition || p.Offset >= cut }
		return slices.ContainsFunc(it.entry.Letters, stays) || !settled(it.entry.Origin)
	default:
		return true
	}
}

// trim forgets what was deleted and returns how many records that were.
func (x *index) trim(partition int32, cut int64) (records int) {
	items := x.items[partition]
	n, _ := slices.BinarySearchFunc(items, cut, func(it item, cut int64) int { return cmp.Compare(it.offset, cut) })
	for _, it := range items[:n] {
		if it.kind == letter {
			it.entry.Letters = slices.DeleteFunc(it.entry.Letters, func(p Place) bool { return p.Partition == partition && p.Offset < cut })
		}
	}
	x.items[partition] = items[n:]
	return n
}

// Bounds of a transaction: what a crash makes a reader of the raw topic wait for, and what is held in memory.
const (
	maxBatchEntries = 500
	maxBatchBytes   = 16 << 20
	recordRoom      = 1 << 10 // what a record is larger on the wire than its key, value and headers, generously
)

// batches parts entries into those that make a transaction each, in the order of the queue. An entry that is larger than
// what its topic takes in one piece may be refused, or not if it compresses well: it comes last, and by itself.
func batches(entries []*Entry, limit func(topic string) int) [][]*Entry {
	entries = slices.SortedFunc(slices.Values(entries), func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Letters[0].Partition, b.Letters[0].Partition), cmp.Compare(a.Letters[0].Offset, b.Letters[0].Offset))
	})
	var parts, large [][]*Entry
	var part []*Entry
	bytes := 0
	for _, e := range entries {
		n := e.Size + recordRoom
		if n > limit(e.Topic) {
			large = append(large, []*Entry{e})
			continue
		}
		if len(part) > 0 && (len(part) == maxBatchEntries || bytes+n > maxBatchBytes) {
			parts, part, bytes = append(parts, part), nil, 0
		}
		part, bytes = append(part, e), bytes+n
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return append(parts, large...)
}
