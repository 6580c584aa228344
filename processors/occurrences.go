package processors

import (
	"github.com/potok-streams/potok/codecs"
)

// A batch closes when one of these is reached, so that its memory is bounded and no record made of it comes near the
// message limit of our topics (16 MiB), even if all of it belongs to one key.
const (
	maxOccurrences = 400_000
	maxLabelBytes  = 4 << 20  // of different labels: a key's record may have all of them
	maxLabelUse    = 16 << 20 // of the occurrences' labels: a flush may have one for each
	maxKeyBytes    = 32 << 20
)

// occurrences gathers which key occurred at which raw offset, with which label, and then hands out a batch a key. It keeps
// one flat list, in the order of arrival, and groups it when the batch closes: an occurrence costs no allocation, and a
// key one for each batch it is in.
type occurrences struct {
	keys    names
	labels  names // occurrences without a label have none here
	sources []int32
	source  map[int32]int32 // raw partition to index into sources
	list    []occurrence
	use     int // bytes of the occurrences' labels

	grouped []occurrence // scratch of group
	starts  []int32      // scratch of group
	local   []int32      // scratch of batches: a label's index in the batch at hand, plus one
	batch   codecs.Batch // scratch of batches
	runs    [][]codecs.Run
}

type occurrence struct {
	key    int32
	label  int32 // NoLabel: none
	source int32
	length int32
	offset int64
}

// names numbers strings in the order in which they come, and keeps the time stamps of each.
type names struct {
	index map[string]int32
	list  []string
	spans []codecs.Span
	bytes int
}

func (n *names) number(name []byte) int32 {
	i, ok := n.index[string(name)] // the compiler makes no string for the look-up
	if !ok {
		if n.index == nil {
			n.index = map[string]int32{}
		}
		i = int32(len(n.list))
		s := string(name)
		n.index[s] = i
		n.list = append(n.list, s)
		n.spans = append(n.spans, codecs.Span{})
		n.bytes += len(s)
	}
	return i
}

func (n *names) reset() {
	clear(n.index)
	clear(n.list) // let go of the strings
	n.list, n.spans, n.bytes = n.list[:0], n.spans[:0], 0
}

// add notes that key occurred, with a label or with none (nil), at each of length raw offsets from offset on.
func (o *occurrences) add(key, label []byte, partition int32, offset int64, length int32, timestamp int64) {
	k, l := o.keys.number(key), int32(codecs.NoLabel)
	o.keys.spans[k].Add(timestamp)
	if label != nil {
		l = o.labels.number(label)
		o.use += len(label)
	}
	s, ok := o.source[partition]
	if !ok {
		if o.source == nil {
			o.source = map[int32]int32{}
		}
		s = int32(len(o.sources))
		o.source[partition] = s
		o.sources = append(o.sources, partition)
	}
	o.list = append(o.list, occurrence{key: k, label: l, source: s, length: length, offset: offset})
}

func (o *occurrences) full() bool {
	return len(o.list) >= maxOccurrences || o.labels.bytes >= maxLabelBytes || o.use >= maxLabelUse || o.keys.bytes >= maxKeyBytes
}

func (o *occurrences) reset() {
	o.keys.reset()
	o.labels.reset()
	clear(o.source)
	o.sources, o.list, o.use = o.sources[:0], o.list[:0], 0
}

// batches calls emit with every key and its batch, which is good until emit returns.
func (o *occurrences) batches(topic codecs.TopicID, emit func(key string, b *codecs.Batch)) {
	if len(o.list) == 0 {
		return
	}
	// Two stable counting sorts: by source, then by key. Arrival order, and with it rising offsets, stays within both.
	sorted := o.list
	if len(o.sources) > 1 {
		sorted = o.group(sorted, len(o.sources), func(c *occurrence) int32 { return c.source })
		o.list, o.grouped = sorted, o.list // both buffers live on
	}
	sorted = o.group(sorted, len(o.keys.list), func(c *occurrence) int32 { return c.key })
	o.list, o.grouped = sorted, o.list
	for len(o.local) < len(o.labels.list) {
		o.local = append(o.local, 0)
	}
	for start := 0; start < len(sorted); {
		end := start + 1
		for end < len(sorted) && sorted[end].key == sorted[start].key {
			end++
		}
		k := sorted[start].key
		o.fill(topic, o.keys.spans[k], sorted[start:end])
		emit(o.keys.list[k], &o.batch)
		start = end
	}
}

// group returns the occurrences sorted by a small number of each, stably, in o.grouped's memory.
func (o *occurrences) group(list []occurrence, buckets int, bucket func(*occurrence) int32) []occurrence {
	if cap(o.starts) < buckets+1 {
		o.starts = make([]int32, buckets+1, 2*(buckets+1))
	}
	starts := o.starts[:buckets+1]
	clear(starts)
	for i := range list {
		starts[bucket(&list[i])+1]++
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	if cap(o.grouped) < len(list) {
		o.grouped = make([]occurrence, len(list), cap(list))
	}
	out := o.grouped[:len(list)]
	for i := range list {
		b := bucket(&list[i])
		out[starts[b]] = list[i]
		starts[b]++
	}
	return out
}

// fill makes o.batch of the occurrences of one key, which are sorted by source.
func (o *occurrences) fill(topic codecs.TopicID, span codecs.Span, list []occurrence) {
	b := &o.batch
	b.Topic, b.Span, b.Labels, b.Sources = topic, span, b.Labels[:0], b.Sources[:0]
	for i := 0; i < len(list); {
		source := list[i].source
		n := len(b.Sources)
		if n == len(o.runs) {
			o.runs = append(o.runs, nil)
		}
		runs := o.runs[n][:0]
		for ; i < len(list) && list[i].source == source; i++ {
			c, label := &list[i], codecs.NoLabel
			if c.label != codecs.NoLabel {
				label = o.localLabel(c.label)
			}
			if last := len(runs) - 1; last >= 0 && runs[last].Label == label && runs[last].Offset+runs[last].Length == c.offset {
				runs[last].Length += int64(c.length)
				continue
			}
			runs = append(runs, codecs.Run{Offset: c.offset, Length: int64(c.length), Label: label})
		}
		o.runs[n] = runs
		b.Sources = append(b.Sources, codecs.Source{Partition: o.sources[source], Runs: runs})
	}
	for _, c := range list {
		if c.label != codecs.NoLabel {
			o.local[c.label] = 0
		}
	}
}

// localLabel returns a label's index in the batch at hand and lists the label there if it is new to it.
func (o *occurrences) localLabel(label int32) int {
	if o.local[label] == 0 {
		o.batch.Labels = append(o.batch.Labels, o.labels.list[label])
		o.local[label] = int32(len(o.batch.Labels))
	}
	return int(o.local[label] - 1)
}
