package views

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	frameRows = 1000 // users in one event
	// frameBytes is after how much JSON an event ends, with the row that goes beyond it: rows can be large, so an event may have
	// fewer than frameRows. A thousand ordinary rows have a third of it.
	frameBytes = 1 << 20
	liveLimit  = 64 // frames kept for those who are a little late
	pageLimit  = 64 // frames kept for those who start or come back at the same place
	pageAge    = 2 * time.Second
)

// frame is a stretch of the order of changes, rendered once for all who read it. Rows are read when it is rendered, so it
// may show later states than its position says: the frame that the later change belongs to comes, too, so no state is the
// last one that a reader sees unless it is the latest. How large its rows are is known only then, too: a frame of which not all
// fits into one event ends earlier from then on, see cut. Before it is rendered, to and rows are for who holds frames.mu;
// afterwards they stay.
type frame struct {
	from, to uint64
	rows     []place
	full     bool // there was more to read behind it when it was made, or cut
	made     time.Time

	once sync.Once
	event
	failed error
}

// frames cuts the order of changes into frames. A reader is only a position: there is no queue for anybody, and a reader
// that is late reads a longer stretch, in which each row is found once.
type frames struct {
	rows    renderer
	now     func() time.Time
	mu      sync.Mutex
	head    uint64        // what readers may have seen
	wake    chan struct{} // closed when head moves, or the event types change
	types   uint64        // version
	readers int
	live    []*frame // adjacent stretches, oldest first; the last one ends at head
	pages   []*frame // stretches for readers that are further behind, oldest first

	typesMu      sync.Mutex // the event types, rendered once for all readers
	typesData    *event
	typesVersion uint64

	packer packer
}

func newFrames(rows renderer, now func() time.Time) *frames {
	return &frames{rows: rows, now: now, wake: make(chan struct{})}
}

// publish makes what changed since the last call available to readers and wakes them. The new stretch is read here and not
// when a reader asks: a row that changes all the time would have moved on by then, and that reader would never see it.
func (f *frames) publish() {
	f.rows.index.flush()
	types := f.rows.index.typesVersion()
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.head
	if f.readers == 0 {
		f.head, f.live, f.pages = f.rows.index.head(), nil, nil
	}
	for f.readers > 0 {
		next := f.read(f.head)
		if len(next.rows) > 0 {
			f.live = newest(append(f.live, next), liveLimit)
		}
		f.head = next.to
		if !next.full {
			break
		}
	}
	if f.head != before || types != f.types {
		f.types = types
		close(f.wake)
		f.wake = make(chan struct{})
	}
}

func (f *frames) read(after uint64) *frame {
	fr := &frame{from: after, made: f.now()}
	fr.rows, fr.to = f.rows.index.changed(after, frameRows)
	fr.full = len(fr.rows) == frameRows
	return fr
}

// cut ends a frame behind the first n of its rows, at least one, which are those that its event has. The rest is a frame of its own
// where others are adjacent: read anew, it would lack the rows that have moved on.
func (f *frames) cut(fr *frame, n int) {
	if n == len(fr.rows) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := &frame{from: fr.rows[n-1].seq, to: fr.to, rows: fr.rows[n:], full: fr.full, made: fr.made}
	fr.to, fr.rows, fr.full = rest.from, fr.rows[:n], true
	if i := slices.Index(f.live, fr); i >= 0 {
		f.live = newest(slices.Insert(f.live, i+1, rest), liveLimit)
	}
}

// newest drops the oldest frames beyond a limit, and what they hold.
func newest(frames []*frame, limit int) []*frame {
	return slices.Delete(frames, 0, max(0, len(frames)-limit))
}

// after returns the stretch that a reader at a position reads next; nil: there is none yet. Where it ends is known when it is
// rendered.
func (f *frames) after(position uint64) *frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	if position >= f.head {
		return nil
	}
	for _, fr := range f.live {
		if fr.from <= position && position < fr.to {
			return fr
		}
	}
	return f.page(position)
}

// snapshot returns the first stretch.
func (f *frames) snapshot() *frame {
	f.rows.index.flush()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.page(0)
}

func (f *frames) page(from uint64) *frame {
	for _, fr := range f.pages {
		if fr.from == from && fr.full && f.now().Sub(fr.made) < pageAge {
			return fr
		}
	}
	fr := f.read(from)
	f.pages = newest(append(f.pages, fr), pageLimit)
	return fr
}

// position returns up to where readers may have read.
func (f *frames) position() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head
}

// changed returns a channel that is closed when there is more to read.
func (f *frames) changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wake
}

// join counts a reader in if there are not too many already.
func (f *frames) join(limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers >= limit {
		return false
	}
	f.readers++
	return true
}

func (f *frames) leave() {
	f.mu.Lock()
	f.readers--
	f.mu.Unlock()
}

func (f *frames) readerCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readers
}

// render returns the frame's event, made by the first who asks, with as many of its rows as go into one: the frame ends there.
func (f *frames) render(fr *frame) (*event, error) {
	fr.once.Do(func() {
		var rows []byte
		n := 0
		for ; n < len(fr.rows) && len(rows) < frameBytes; n++ {
			row, _ := f.rows.index.latest(fr.rows[n].id) // it is there: no row ever leaves
			if rows, fr.failed = f.rows.element(rows, &row, false); fr.failed != nil {
				return
			}
		}
		f.cut(fr, n)
		fr.plain = slices.Concat([]byte(f.begin("users", fr.to)+`data: {"users":[`), bytes.TrimSuffix(rows, []byte(",")), []byte("]}\n\n"))
	})
	return &fr.event, fr.failed
}

// begin returns how an event begins: all of it but the data.
func (f *frames) begin(name string, position uint64) string {
	return "event: " + name + "\nid: " + f.rows.index.epoch + "-" + strconv.FormatUint(position, 10) + "\n"
}

// renderTypes returns the data of an event with the body of /v1/event-types, and its version. Its head is each reader's own.
func (f *frames) renderTypes() (*event, uint64, error) {
	rows, total, version := f.rows.index.eventTypes(false)
	f.typesMu.Lock()
	defer f.typesMu.Unlock()
	if f.typesData == nil || f.typesVersion != version {
		body, err := marshal(EventTypes{EventTypes: rows, Total: total})
		if err != nil {
			return nil, 0, err
		}
		f.typesData, f.typesVersion = &event{plain: slices.Concat([]byte("data: "), body, []byte("\n\n"))}, version
	}
	return f.typesData, version, nil
}

// UsersEvent is the data of a stream's event users.
type UsersEvent struct {
	Users []User `json:"users" nullable:"false"`
}

// marshal renders as the other answers are. The text has no line breaks.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := encoder(&b).Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// encoder returns one that writes values without the escapes that only HTML needs, each with a line break after it and none in it.
func encoder(b *bytes.Buffer) *json.Encoder {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	return enc
}
