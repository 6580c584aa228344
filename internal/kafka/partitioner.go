package kafka

import (
	"hash/fnv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Partitioner places a keyed record where goka's own hasher (FNV-1a) places it, so that what franz-go writes is found
// by goka's joins and views. Records without a key go round in sticky batches.
//
// goka and sarama disagree with each other on one hash in four billion (0x80000000) unless the partition count is a
// power of two; package topology makes sure that it is.
func Partitioner() kgo.Partitioner {
	return kgo.StickyKeyPartitioner(kgo.SaramaCompatHasher(hash32))
}

func hash32(key []byte) uint32 {
	h := fnv.New32a()
	h.Write(key)
	return h.Sum32()
}

// PartitionOf returns the partition that holds a key. The formula is sarama's: the remainder of the signed hash, without
// its sign.
func PartitionOf(key []byte, partitions int32) int32 {
	p := int32(hash32(key)) % partitions
	if p < 0 {
		p = -p
	}
	return p
}
