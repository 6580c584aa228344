package client

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"time"
)

// Event is one server-sent event.
type Event struct {
	ID   string // resume behind it with this
	Name string
	Data []byte
}

// keepLine is how large a line buffer may be to be kept for the next line.
const keepLine = 1 << 20

// parser reads a text/event-stream as the HTML standard says: lines end with CR, LF or both, and an event that is not
// ended by an empty line never was.
type parser struct {
	r      *bufio.Reader
	limit  int // bytes of an event
	begun  bool
	skipLF bool // the line before ended with CR: an LF now belongs to it
	line   []byte
	id     string
	retry  time.Duration // that the server asks for; 0: it has not
}

func newParser(r io.Reader, id string, limit int) *parser {
	return &parser{r: bufio.NewReaderSize(r, 64<<10), id: id, limit: limit}
}

// next returns the next event. Its data is the caller's.
func (p *parser) next() (Event, error) {
	name, data, has := "", []byte(nil), false
	for {
		line, err := p.readLine(len(data))
		if err != nil {
			return Event{}, err
		}
		if len(line) == 0 {
			if has {
				return Event{ID: p.id, Name: name, Data: data}, nil
			}
			name = ""
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":")) // a comment has an empty field name
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if has {
				data = append(data, '\n')
			}
			data, has = append(data, value...), true
		case "id":
			if !bytes.ContainsRune(value, 0) {
				p.id = string(value)
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				p.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// readLine returns a line without its end; it is good until the next call. used is what the event already has.
func (p *parser) readLine(used int) ([]byte, error) {
	if cap(p.line) > keepLine {
		p.line = nil
	}
	p.line = p.line[:0]
	for {
		if _, err := p.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := p.r.Peek(p.r.Buffered())
		if p.skipLF {
			p.skipLF = false
			if chunk[0] == '\n' {
				_, _ = p.r.Discard(1)
				continue
			}
		}
		end, whole := len(chunk), false
		if i := bytes.IndexByte(chunk, '\n'); i >= 0 {
			end, whole = i, true
		}
		if i := bytes.IndexByte(chunk[:end], '\r'); i >= 0 {
			end, whole, p.skipLF = i, true, true
		}
		if used+len(p.line)+end > p.limit {
			return nil, ErrTooLarge
		}
		p.line = append(p.line, chunk[:end]...)
		if !whole {
			_, _ = p.r.Discard(end)
			continue
		}
		_, _ = p.r.Discard(end + 1)
		if !p.begun {
			p.begun = true
			return bytes.TrimPrefix(p.line, []byte("\ufeff")), nil
		}
		return p.line, nil
	}
}
