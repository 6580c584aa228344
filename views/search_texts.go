package views

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

const (
	// hugeText is from how many bytes on a row is in no list but tested by every search: an id, a name and an e-mail can have
	// half a MiB together, and lists that long would be the largest thing in memory.
	hugeText = 4 << 10
	// mostGrams is how many lists there are at most. Names of any script need some ten thousand; random letters, which anybody
	// can send, have a list of their own for nearly every three, at some 100 bytes each. A row that would need one more is
	// treated as huge.
	mostGrams = 1 << 20
	// mostLists is how many lists a search reads at most; the rarest tell nearly all.
	mostLists = 8
	// listPerTest is how many places of a list are read in the time in which one row is tested: a place is mostly one byte in
	// a stretch of bytes, a row is two cache misses and three texts to fold.
	listPerTest = 64
)

// gram is three letters in a row, case folded, 21 bits each. Behind the end of a text come two that no letter is (0), so that a
// gram begins at every letter and words of one or two letters can be looked up as beginnings.
type gram uint64

const gramMask = 1<<63 - 1

func (g gram) first() rune  { return rune(g >> 42) }
func (g gram) second() rune { return rune(g >> 21 & (1<<21 - 1)) }

// texts is the text index: which rows may have a text in their id, name or email. It names all rows that have it, and some that
// have not, which the search sorts out by looking. A row is there by a number, its doc, and a row whose texts change gets
// another one: so lists only grow at their ends, docs in them ascend, and are stored as differences of mostly one byte.
// Guarded by Index.mu.
type texts struct {
	lists map[gram]*docList
	heads map[rune][]gram // by first letter: for words of less than three
	docs  []int32         // rows by number; nobody: the row has another one
	over  int             // docs whose row has another one
	huge  []uint32        // docs that are in no list
	limit int             // mostGrams
	ready bool            // all rows are in it

	buf   []byte // of add
	grams []gram
}

// docList is the docs with a gram.
type docList struct {
	n, last uint32
	deltas  []byte // uvarints
}

func newTexts() *texts {
	return &texts{lists: make(map[gram]*docList), heads: make(map[rune][]gram), limit: mostGrams}
}

// nobody stands for the row of a doc that is over.
const nobody = -1

// has says whether a row is in the index.
func (t *texts) has(rows *rows, row int32) bool {
	doc := rows.at(row).doc
	return int(doc) < len(t.docs) && t.docs[doc] == row
}

// add puts a row in, under its present texts.
func (t *texts) add(rows *rows, row int32) {
	r := rows.at(row)
	if t.has(rows, row) {
		t.docs[r.doc] = nobody
		t.over++
	}
	r.doc = uint32(len(t.docs))
	t.docs = append(t.docs, row)
	s := rows.state(row)
	if len(s.id)+len(s.name)+len(s.email) >= hugeText {
		t.huge = append(t.huge, r.doc)
		return
	}
	t.grams = t.grams[:0]
	t.read(s.id)
	if s.known {
		t.read(s.name)
		t.read(s.email)
	}
	if len(t.lists) >= t.limit && slices.ContainsFunc(t.grams, func(g gram) bool { return t.lists[g] == nil }) {
		t.huge = append(t.huge, r.doc)
		return
	}
	for _, g := range t.grams {
		l := t.lists[g]
		if l == nil {
			l = new(docList)
			t.lists[g] = l
			t.heads[g.first()] = append(t.heads[g.first()], g)
		}
		l.add(r.doc)
	}
}

// read appends the grams of a text.
func (t *texts) read(text string) {
	t.buf = appendFolded(t.buf[:0], text)
	if len(t.buf) > 0 {
		t.buf = append(t.buf, 0, 0)
		eachGram(t.buf, func(g gram) { t.grams = append(t.grams, g) })
	}
}

// eachGram calls f with every three letters in a row.
func eachGram(folded []byte, f func(gram)) {
	var g gram
	for n := 1; len(folded) > 0; n++ {
		r, size := rune(folded[0]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(folded)
		}
		folded = folded[size:]
		if g = (g<<21 | gram(r)) & gramMask; n >= 3 {
			f(g)
		}
	}
}

func (l *docList) add(doc uint32) {
	if l.n > 0 && l.last == doc {
		return // the row has it twice
	}
	if len(l.deltas)+binary.MaxVarintLen32 > cap(l.deltas) && len(l.deltas) > 64 {
		// A quarter more and not twice as much: slack is the price of many long lists.
		l.deltas = slices.Grow(l.deltas, len(l.deltas)/8+binary.MaxVarintLen32)
	}
	l.deltas = binary.AppendUvarint(l.deltas, uint64(doc-l.last))
	l.last = doc
	l.n++
}

// each calls f with every doc, ascending.
func (l *docList) each(f func(doc uint32)) {
	doc, b := uint32(0), l.deltas
	for len(b) > 0 {
		delta, size := uint64(b[0]), 1
		if delta >= 0x80 {
			delta, size = binary.Uvarint(b)
		}
		doc += uint32(delta)
		b = b[size:]
		f(doc)
	}
}

// lookup is what the index knows of a word before any list is read.
type lookup struct {
	lists []*docList
	short bool // rows are in at least one of the lists, and not in all
	most  int  // no more rows than that have the word
}

// look finds the lists of a word, which is not empty and is folded.
func (t *texts) look(word []byte) (k lookup) {
	if utf8.RuneCount(word) < 3 {
		k.short = true
		first, size := utf8.DecodeRune(word)
		second, length := utf8.DecodeRune(word[size:])
		for _, g := range t.heads[first] {
			if length == 0 || g.second() == second {
				k.lists = append(k.lists, t.lists[g])
				k.most += int(t.lists[g].n)
			}
		}
	} else {
		none := false
		eachGram(word, func(g gram) {
			if l := t.lists[g]; l == nil {
				none = true
			} else if !slices.Contains(k.lists, l) {
				k.lists = append(k.lists, l)
			}
		})
		if none {
			k.lists = nil
		} else {
			slices.SortFunc(k.lists, func(a, b *docList) int { return int(a.n) - int(b.n) })
			k.most = int(k.lists[0].n)
		}
	}
	k.most = min(k.most+len(t.huge), len(t.docs))
	return k
}

// rows returns the rows that may have the word.
func (t *texts) rows(k lookup) []int32 {
	var docs []uint32
	switch {
	case k.short:
		docs = union(k.lists, len(t.docs))
	case len(k.lists) > 0:
		docs = intersection(k.lists)
	}
	rows := make([]int32, 0, len(docs)+len(t.huge))
	for _, of := range [][]uint32{docs, t.huge} {
		for _, doc := range of {
			if row := t.docs[doc]; row != nobody {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// intersection returns the docs that are in all lists, the shortest of which comes first; or more, if testing their rows is
// cheaper than reading on.
func intersection(lists []*docList) []uint32 {
	docs := make([]uint32, 0, lists[0].n)
	lists[0].each(func(doc uint32) { docs = append(docs, doc) })
	for _, l := range lists[1:min(len(lists), mostLists)] {
		if int(l.n) > listPerTest*len(docs) {
			break
		}
		in, at := docs[:0], 0
		l.each(func(doc uint32) {
			for at < len(docs) && docs[at] < doc {
				at++
			}
			if at < len(docs) && docs[at] == doc {
				in = append(in, doc)
			}
		})
		docs = in
	}
	return docs
}

// union returns the docs, below n, that are in any of the lists.
func union(lists []*docList, n int) []uint32 {
	if len(lists) == 0 {
		return nil
	}
	set, size := make([]uint64, n/64+1), 0
	for _, l := range lists {
		l.each(func(doc uint32) { set[doc/64] |= 1 << (doc % 64) })
	}
	for _, w := range set {
		size += bits.OnesCount64(w)
	}
	docs := make([]uint32, 0, size)
	for i, w := range set {
		for ; w != 0; w &= w - 1 {
			docs = append(docs, uint32(i*64+bits.TrailingZeros64(w)))
		}
	}
	return docs
}
