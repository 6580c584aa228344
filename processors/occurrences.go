package processors

import (
	"github.com/potok-streams/potok/codecs"
)

// A batch closes when one of these is reached, so that its memory is bounded and no record made of it comes near the
// message limit of our topics (16 MiB), even if all of it belongs to one key.
const (
	maxOccurrences = 1_000_000
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
	use     int  // bytes of the occurrences' labels
	sorted  bool // list is sorted by source

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
		o.labels.spans[l].Add(timestamp)
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
	o.sorted = false
	o.list = append(o.list, occurrence{key: k, label: l, source: s, length: length, offset: offset})
}

func (o *occurrences) full() bool {
	return len(o.list) >= maxOccurrences || o.labels.bytes >= maxLabelBytes || o.use >= maxLabelUse || o.keys.bytes >= maxKeyBytes
}

func (o *occurrences) reset() {
	o.keys.reset()
	o.labels.reset()
	clear(o.source)
	o.sources, o.list, o.use, o.sorted = o.sources[:0], o.list[:0], 0, false
}

// batches calls emit with every key and its batch, which is good until emit returns.
func (o *occurrences) batches(topic codecs.TopicID, emit func(key string, b *codecs.Batch)) {
	for len(o.local) < len(o.labels.list) {
		o.local = append(o.local, 0)
	}
	o.each(&o.keys, func(c *occurrence) int32 { return c.key }, func(key int32, list []occurrence) {
		o.fill(topic, o.keys.spans[key], list, true)
		emit(o.keys.list[key], &o.batch)
	})
}

// labelBatches calls emit with every label and the batch of its occurrences, whatever their key, which have no label then.
// All occurrences must have one.
func (o *occurrences) labelBatches(topic codecs.TopicID, emit func(label string, b *codecs.Batch)) {
	o.each(&o.labels, func(c *occurrence) int32 { return c.label }, func(label int32, list []occurrence) {
		o.fill(topic, o.labels.spans[label], list, false)
		emit(o.labels.list[label], &o.batch)
	})
}

// each calls f with every name that occurs and its occurrences, sorted by source and, of one source, by rising offset.
func (o *occurrences) each(n *names, nameOf func(*occurrence) int32, f func(name int32, list []occurrence)) {
	// Two stable counting sorts: by source, then by name. Arrival order, and with it rising offsets, stays within both.
	if !o.sorted && len(o.sources) > 1 {
		o.list, o.grouped = o.group(len(o.sources), func(c *occurrence) int32 { return c.source }), o.list // both buffers live on
	}
	o.sorted = true
	list := o.group(len(n.list), nameOf)
	for start := 0; start < len(list); {
		name, end := nameOf(&list[start]), start+1
		for end < len(list) && nameOf(&list[end]) == name {
			end++
		}
		f(name, list[start:end])
		start = end
	}
}

// group returns the occurrences sorted by a small number of each, stably, in o.grouped's memory.
func (o *occurrences) group(buckets int, bucket func(*occurrence) int32) []occurrence {
	list := o.list
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

// fill makes o.batch of the occurrences of one name, which are sorted by source.
func (o *occurrences) fill(topic codecs.TopicID, span codecs.Span, list []occurrence, labelled bool) {
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
			if labelled && c.label != codecs.NoLabel {
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
		if labelled && c.label != codecs.NoLabel {
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
