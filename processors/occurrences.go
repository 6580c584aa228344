package processors

import (
	"iter"
	"math/bits"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/intern"
)

// A batch closes when one of these is reached, so that its memory is bounded and no record made of it comes near the
// message limit of our topics (16 MiB), even if all of it belongs to one key.
const (
	maxOccurrences = 10_000_000
	maxKeys        = 1_000_000
	maxLabels      = 1_000_000
	maxPieces      = 2 * maxOccurrences / pieceSize // not all are full where offsets are far apart
	maxRecord      = 10 << 20                       // bytes of a record: a key may have very many occurrences, and all labels
	maxLabelUse    = 128 << 20                      // bytes of the occurrences' labels: a flush may have one for each
	maxKeyBytes    = 40 << 20

	sourceBytes = 16 // of a record for each raw partition, about
)

// occurrences gathers which key occurred at which raw offset, with which label, and then hands out a batch a key. It keeps
// a list for each raw partition, in the order of arrival, and groups them when the batch closes: an occurrence costs
// eight bytes, and neither it nor a key an allocation of its own.
type occurrences struct {
	keys    names
	labels  names // occurrences without a label have none here
	sources []source
	source  map[int32]int // raw partition to index into sources
	waiting []waiting     // at most intern.Together
	text    []byte        // the keys of those, one after the other
	n       int
	pieces  int // of all lists
	record  int // the largest record has at most so many bytes, about
	use     int // bytes of the occurrences' labels

	order  []uint32 // scratch of each
	starts []uint32 // scratch of each
	sorted []uint64 // scratch of each
	texts  []string // the labels
	local  []int32  // scratch of batches: a label's index in the batch at hand, plus one
	used   []int32  // scratch of fill: the labels that have one
	batch  codecs.Batch
	made   [][]codecs.Run // scratch of fill
}

// names numbers strings and keeps the time stamps of each.
type names struct {
	intern.Table
	spans []codecs.Span
}

func (n *names) note(name []byte, timestamp int64) (number int32, fresh bool) {
	number, fresh = n.Number(name)
	n.stamp(number, timestamp)
	return number, fresh
}

// stamp notes a time stamp of a name. The first one of each comes in the order of their numbers.
func (n *names) stamp(number int32, timestamp int64) {
	if int(number) == len(n.spans) {
		n.spans = append(n.spans, codecs.Span{})
	}
	n.spans[number].Add(timestamp)
}

func (n *names) reset() {
	if n.spans = n.spans[:0]; n.Reset() {
		n.spans = nil
	}
}

// occurrence is, from its highest bits down, the number of its label plus one, 0 for none, the number of its key, and how far its offset
// is above that of the piece that it is in.
type occurrence uint64

const aboveBits = 64 - 2*numberBits

func (c occurrence) label() int32 { return int32(c>>(numberBits+aboveBits)) - 1 } // NoLabel: none
func (c occurrence) key() int32   { return int32(c >> aboveBits & (1<<numberBits - 1)) }
func (c occurrence) above() int64 { return int64(c & (1<<aboveBits - 1)) }

// waiting is an occurrence that is in its list, but for the number of its key: numbers are looked up together, see [intern.Table.Numbers].
type waiting struct {
	*occurrence
	keyLen    int
	timestamp int64
}

// source is what came from one raw partition. Its list is in pieces: one that grows is copied over and over, and leaves
// several times its size behind. A place in it is the number of a piece times pieceSize, and where in the piece.
type source struct {
	partition int32
	end       int64
	pieces    []piece
	stretches map[uint32]int32 // lengths of those that are more than one offset, by their place
}

const pieceSize = 1 << 10

// piece is a part of a list, which ends when it is full, or when an offset is too far above its first one.
type piece struct {
	offset int64
	list   []occurrence
}

// add adds an occurrence without a key.
func (s *source) add(label int32, offset int64, length int32) (at *occurrence, grown bool) {
	last := len(s.pieces) - 1
	switch {
	case last >= 0 && len(s.pieces[last].list) == 0: // of an earlier batch
		s.pieces[last].offset = offset
	case last < 0 || len(s.pieces[last].list) == pieceSize || uint64(offset-s.pieces[last].offset) >= 1<<aboveBits:
		s.pieces, grown = append(s.pieces, piece{offset, make([]occurrence, 0, pieceSize)}), true
		last++
	}
	p := &s.pieces[last]
	if length != 1 {
		if s.stretches == nil {
			s.stretches = map[uint32]int32{}
		}
		s.stretches[uint32(last*pieceSize+len(p.list))] = length
	}
	p.list = append(p.list, occurrence(label+1)<<(numberBits+aboveBits)|occurrence(offset-p.offset))
	s.end = offset + int64(length)
	return &p.list[len(p.list)-1], grown
}

// all goes through the list, and says at which place each occurrence is.
func (s *source) all() iter.Seq2[uint32, occurrence] {
	return func(yield func(uint32, occurrence) bool) {
		for i := range s.pieces {
			for j, c := range s.pieces[i].list {
				if !yield(uint32(i*pieceSize+j), c) {
					return
				}
			}
		}
	}
}

func (s *source) at(place uint32) occurrence { return s.pieces[place/pieceSize].list[place%pieceSize] }

func (s *source) offset(place uint32, c occurrence) int64 {
	return s.pieces[place/pieceSize].offset + c.above()
}

// places is how many places there may be.
func (s *source) places() uint32 { return uint32(len(s.pieces) * pieceSize) }

func (s *source) length(place uint32) int64 {
	if len(s.stretches) > 0 {
		if n, ok := s.stretches[place]; ok {
			return int64(n)
		}
	}
	return 1
}

// add notes that key occurred, with a label or with none (nil), at each of length raw offsets from offset on.
func (o *occurrences) add(key, label []byte, partition int32, offset int64, length int32, timestamp int64) {
	l := int32(codecs.NoLabel)
	if label != nil {
		var fresh bool
		o.record += varint(uint64(o.labels.Len()))
		if l, fresh = o.labels.note(label, timestamp); fresh {
			o.record += len(label) + 4
		}
		o.use += len(label)
	}
	s := o.sourceOf(partition)
	// What leaves out some of the occurrences has larger gaps, but they take no more than those that they are the sums of.
	o.record += varint(uint64(offset-s.end)) + varint(uint64(length))
	c, grown := s.add(l, offset, length)
	if o.n++; grown {
		o.pieces++
	}
	o.text = append(o.text, key...)
	if o.waiting = append(o.waiting, waiting{c, len(key), timestamp}); len(o.waiting) == intern.Together {
		o.settle()
	}
}

// settle numbers the keys of the occurrences that wait for it.
func (o *occurrences) settle() {
	var keys [intern.Together][]byte
	var numbers [intern.Together]int32
	text := o.text
	for i, w := range o.waiting {
		keys[i], text = text[:w.keyLen], text[w.keyLen:]
	}
	o.keys.Numbers(keys[:len(o.waiting)], &numbers)
	for i, w := range o.waiting {
		*w.occurrence |= occurrence(numbers[i]) << aboveBits
		o.keys.stamp(numbers[i], w.timestamp)
	}
	o.waiting, o.text = o.waiting[:0], o.text[:0]
}

// varint returns how many bytes a number takes.
func varint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// sourceOf returns the list of a raw partition. The pointer is good until the next call.
func (o *occurrences) sourceOf(partition int32) *source {
	i, ok := o.source[partition]
	if !ok {
		if o.source == nil {
			o.source = map[int32]int{}
		}
		i = len(o.sources)
		o.source[partition] = i
		if i < cap(o.sources) {
			o.sources = o.sources[:i+1] // with the first piece of an earlier batch
		} else {
			o.sources = append(o.sources, source{})
		}
		o.sources[i].partition = partition
	}
	return &o.sources[i]
}

func (o *occurrences) full() bool {
	return o.n >= maxOccurrences || o.pieces >= maxPieces || o.keys.Len()+len(o.waiting) >= maxKeys || o.labels.Len() >= maxLabels ||
		o.use >= maxLabelUse || o.keys.Bytes()+len(o.text) >= maxKeyBytes || // a key that waits may be new
		o.record >= maxRecord && o.measure() >= maxRecord
}

// measure looks how large the largest record really is, where record has added up what came as if one key had all of it. It goes on from
// there, unless that is more than half of the limit: then there would soon be one look after the other, and the batch is full.
func (o *occurrences) measure() int {
	o.settle()
	labels := o.labels.Bytes() + 4*o.labels.Len() // a key may have each
	largest := max(o.largest(&o.keys, occurrence.key)+labels, o.largest(&o.labels, occurrence.label))
	if largest < maxRecord/2 {
		o.record = largest
	}
	return o.record
}

// largest returns about how many bytes the occurrences of a name take in its record, of the name for which that is most.
func (o *occurrences) largest(n *names, nameOf func(occurrence) int32) (most int) {
	type record struct {
		bytes, source int32 // the source that was looked at last, plus one
		end           int64 // there
	}
	records, label := make([]record, n.Len()), varint(uint64(o.labels.Len()))
	for i := range o.sources {
		s := &o.sources[i]
		for place, c := range s.all() {
			name := nameOf(c)
			if name == codecs.NoLabel {
				continue
			}
			r, offset, length := &records[name], s.offset(place, c), s.length(place)
			if r.source != int32(i+1) {
				r.source, r.end, r.bytes = int32(i+1), 0, r.bytes+sourceBytes
			}
			r.bytes += int32(varint(uint64(offset-r.end)) + varint(uint64(length)) + label)
			r.end = offset + length
			most = max(most, int(r.bytes))
		}
	}
	return most
}

// reset forgets everything. What a small batch needs is kept, what only a large one does is not: a backlog ends.
func (o *occurrences) reset() {
	clear(o.waiting[:cap(o.waiting)]) // it points into the lists
	o.waiting, o.text = o.waiting[:0], o.text[:0]
	o.keys.reset()
	o.labels.reset()
	clear(o.source)
	for i := range o.sources {
		s := &o.sources[i]
		if len(s.pieces) > 0 {
			clear(s.pieces[1:])
			s.pieces = s.pieces[:1]
			s.pieces[0].list = s.pieces[0].list[:0]
		}
		s.end, s.stretches = 0, nil
	}
	if o.letGo(); cap(o.order) > pieceSize {
		o.order = nil
	}
	if cap(o.sorted) > pieceSize {
		o.sorted, o.starts = nil, nil
	}
	clear(o.texts)
	o.texts, o.local = o.texts[:0], o.local[:0]
	o.sources, o.n, o.pieces, o.record, o.use = o.sources[:0], 0, 0, 0, 0
}

// letGo gives up the runs of names that have very many.
func (o *occurrences) letGo() {
	for i, runs := range o.made {
		if cap(runs) > pieceSize {
			o.made[i] = nil
		}
	}
}

// batches calls emit with every key and its batch, which are good until emit returns.
func (o *occurrences) batches(topic codecs.TopicID, emit func(key []byte, b *codecs.Batch)) {
	o.settle()
	for i := len(o.texts); i < o.labels.Len(); i++ {
		o.texts = append(o.texts, string(o.labels.Text(int32(i))))
		o.local = append(o.local, 0)
	}
	o.each(&o.keys, occurrence.key, func(key int32, places []uint32) {
		o.fill(topic, o.keys.spans[key], places, true)
		emit(o.keys.Text(key), &o.batch)
	})
}

// labelBatches calls emit with every label and the batch of its occurrences, whatever their key, which have no label then.
// All occurrences must have one.
func (o *occurrences) labelBatches(topic codecs.TopicID, emit func(label []byte, b *codecs.Batch)) {
	o.each(&o.labels, occurrence.label, func(label int32, places []uint32) {
		o.fill(topic, o.labels.spans[label], places, false)
		emit(o.labels.Text(label), &o.batch)
	})
	o.letGo()
}

// each calls f with every name that occurs and where it does: places count through the places of all sources, one after the other,
// and rise. Names come in their order, which is that of the tables: what reads and writes rows behind goes through
// its tables from the beginning to the end, and not to and fro.
func (o *occurrences) each(n *names, nameOf func(occurrence) int32, f func(name int32, places []uint32)) {
	// A counting sort, which is stable, of the places alone.
	if cap(o.starts) < n.Len()+1 {
		o.starts = make([]uint32, n.Len()+1)
	}
	starts := o.starts[:n.Len()+1]
	clear(starts)
	for i := range o.sources {
		for _, c := range o.sources[i].all() {
			starts[nameOf(c)+1]++
		}
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	if cap(o.order) < o.n {
		o.order = make([]uint32, o.n)
	}
	order, base := o.order[:o.n], uint32(0)
	for i := range o.sources {
		for place, c := range o.sources[i].all() {
			name := nameOf(c)
			order[starts[name]] = base + place
			starts[name]++
		}
		base += o.sources[i].places()
	}
	ends := starts // each place moved its name's start on by one
	o.sorted = sorted(&n.Table, o.sorted)
	for _, s := range o.sorted {
		name, start := numberOf(s), uint32(0)
		if name > 0 {
			start = ends[name-1]
		}
		if end := ends[name]; start < end {
			f(name, order[start:end])
		}
	}
}

// fill makes o.batch of the occurrences of one name.
func (o *occurrences) fill(topic codecs.TopicID, span codecs.Span, places []uint32, labelled bool) {
	b := &o.batch
	b.Topic, b.Span, b.Labels, b.Sources = topic, span, b.Labels[:0], b.Sources[:0]
	base := uint32(0) // of the source
	for i := range o.sources {
		s := &o.sources[i]
		k := len(b.Sources)
		if k == len(o.made) {
			o.made = append(o.made, nil)
		}
		runs := o.made[k][:0]
		for ; len(places) > 0 && places[0] < base+s.places(); places = places[1:] {
			place, label := places[0]-base, codecs.NoLabel
			c := s.at(place)
			offset := s.offset(place, c)
			if labelled && c.label() != codecs.NoLabel {
				label = o.localLabel(c.label())
			}
			if last := len(runs) - 1; last >= 0 && runs[last].Label == label && runs[last].Offset+runs[last].Length == offset {
				runs[last].Length += s.length(place)
				continue
			}
			runs = append(runs, codecs.Run{Offset: offset, Length: s.length(place), Label: label})
		}
		o.made[k] = runs
		if len(runs) > 0 {
			b.Sources = append(b.Sources, codecs.Source{Partition: s.partition, Runs: runs})
		}
		base += s.places()
		if len(places) == 0 {
			break
		}
	}
	for _, l := range o.used {
		o.local[l] = 0
	}
	o.used = o.used[:0]
}

// localLabel returns a label's index in the batch at hand and lists the label there if it is new to it.
func (o *occurrences) localLabel(label int32) int {
	if o.local[label] == 0 {
		o.batch.Labels = append(o.batch.Labels, o.texts[label])
		o.local[label] = int32(len(o.batch.Labels))
		o.used = append(o.used, label)
	}
	return int(o.local[label] - 1)
}
