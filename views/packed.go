package views

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
)

// A gzip stream is a header and then blocks of deflate. Blocks that refer to nothing in front of them, and end where a byte ends,
// can stand anywhere in any such stream. So an event is compressed once, for all streams that want it so, and costs each of
// them a fifth of the bytes; what is a stream's own goes between as it is, in blocks that say so. A stream has no end that
// anybody waits for: it is cut off as one that is not compressed is, without gzip's checksum.
const (
	gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" // no name, no time, unknown system
	flushed    = "\x00\x00\x00\xff\xff"                     // an empty block: decoders hand on what came before it
	maxStored  = 1<<16 - 1
)

// packer makes blocks. It may be used concurrently, and never copied.
type packer struct {
	mu  sync.Mutex
	out bytes.Buffer
	w   *flate.Writer
}

// pack compresses a text, by itself.
func (p *packer) pack(text []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Reset()
	if p.w == nil {
		w, err := flate.NewWriter(&p.out, flate.BestSpeed+3)
		if err != nil {
			return nil, err
		}
		p.w = w
	} else {
		p.w.Reset(&p.out)
	}
	if _, err := p.w.Write(text); err != nil {
		return nil, err
	}
	if err := p.w.Flush(); err != nil {
		return nil, err
	}
	packed := bytes.Clone(p.out.Bytes())
	if p.out.Cap() > frameRows<<10 {
		p.out = bytes.Buffer{} // rows can be large for once
	}
	return packed, nil
}

// stored returns a short text in blocks that are not compressed.
func stored(text string) (blocks []byte) {
	for len(text) > 0 {
		n := min(len(text), maxStored)
		blocks = append(blocks, 0, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		blocks = append(blocks, text[:n]...)
		text = text[n:]
	}
	return append(blocks, flushed...)
}

// acceptsGzip reads an Accept-Encoding header.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, weighted := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		if !weighted {
			return true
		}
		value, ok := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
		q, err := strconv.ParseFloat(value, 64)
		return ok && err == nil && q > 0
	}
	return false
}

// event is part of a stream, rendered once for all who read it.
type event struct {
	plain []byte // and not a string: writers that wrap others would copy that

	once   sync.Once
	packed []byte
	err    error
}

// text returns the part as a stream wants it.
func (e *event) text(p *packer, packed bool) ([]byte, error) {
	if !packed {
		return e.plain, nil
	}
	e.once.Do(func() { e.packed, e.err = p.pack(e.plain) })
	return e.packed, e.err
}
