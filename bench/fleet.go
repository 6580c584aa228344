package main

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gzipHead is the length of a gzip header that has nothing optional, as views send it.
	gzipHead = 10
	// stalledBuffer keeps the kernel from reading much for clients that read nothing.
	stalledBuffer = 4096
)

// fleet is many clients of one stream. They share the machine with what is measured, so they cost as little as they can: a view
// sends the same compressed bytes to all of them, and what these say is found out once. Every client follows its own bytes,
// and keeps what it would show.
type fleet struct {
	p       *potok
	numbers map[string]int // of the users
	readers []*reader
	stalled []net.Conn
	work    sync.WaitGroup
	seed    maphash.Seed
	bytes   atomic.Int64 // received

	mu   sync.Mutex
	said map[uint64]*saying // by the hash of the bytes
}

// saying is what some bytes of a stream say.
type saying struct {
	whole  bool // else an event's beginning
	users  []int32
	counts []uint32
	err    error
}

// reader is a client that reads.
type reader struct {
	mu     sync.Mutex
	counts []uint32 // by number, as the stream said last
	err    error    // why it ended
}

func newFleet(p *potok) *fleet {
	f := &fleet{p: p, numbers: make(map[string]int, p.d.users), seed: maphash.MakeSeed(), said: map[uint64]*saying{}}
	for i := range p.d.users {
		f.numbers[p.d.userID(i)] = i
	}
	return f
}

// open connects so many clients, the last of which never read.
func (f *fleet) open(ctx context.Context, clients, stalled int) error {
	hc := &http.Client{Transport: &http.Transport{DisableCompression: true}} // they look at the bytes themselves
	for range clients - stalled {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.p.view.URL()+"/v1/stream", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Accept-Encoding", "gzip")
		resp, err := hc.Do(req)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "gzip" {
			_ = resp.Body.Close()
			return fmt.Errorf("stream: status %s, encoding %q", resp.Status, resp.Header.Get("Content-Encoding"))
		}
		r := &reader{counts: make([]uint32, f.p.d.users)}
		f.readers = append(f.readers, r)
		f.work.Go(func() {
			defer resp.Body.Close()
			err := f.read(r, resp.Body)
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
		})
	}
	for range stalled {
		conn, err := net.Dial("tcp", f.p.listen)
		if err != nil {
			return err
		}
		f.stalled = append(f.stalled, conn)
		if err := conn.(*net.TCPConn).SetReadBuffer(stalledBuffer); err != nil {
			return err
		}
		// Not compressed, so that what fits into the kernel's buffers is soon full.
		if _, err := fmt.Fprintf(conn, "GET /v1/stream HTTP/1.1\r\nHost: %s\r\n\r\n", f.p.listen); err != nil {
			return err
		}
	}
	return nil
}

// close ends all; the context of open must have ended.
func (f *fleet) close() {
	for _, conn := range f.stalled {
		_ = conn.Close()
	}
	f.work.Wait()
}

// read follows a stream to its end.
func (f *fleet) read(r *reader, body io.Reader) error {
	marker := []byte("\x00\x00\xff\xff") // ends what was sent together, and may be elsewhere by chance
	if _, err := io.ReadFull(body, make([]byte, gzipHead)); err != nil {
		return err
	}
	buf, have, seen := make([]byte, 64<<10), 0, 0 // bytes there, and bytes in which no end begins
	for {
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := body.Read(buf[have:])
		have += n
		f.bytes.Add(int64(n))
		for {
			at := bytes.Index(buf[seen:have], marker)
			if at < 0 {
				seen = max(seen, have-len(marker)+1)
				break
			}
			seen += at + len(marker)
			s := f.understand(buf[:seen])
			if s.err != nil {
				return s.err
			}
			if s.whole {
				r.apply(s)
				have = copy(buf, buf[seen:have])
				seen = 0
			}
		}
		if err != nil {
			return err
		}
	}
}

// understand returns what bytes say that begin where an event does.
func (f *fleet) understand(b []byte) *saying {
	key := maphash.Bytes(f.seed, b)
	f.mu.Lock()
	defer f.mu.Unlock() // the others wait: they are about to ask for the same
	if s := f.said[key]; s != nil {
		return s
	}
	s := new(saying)
	f.said[key] = s
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // there is always more to come
		s.err = err
		return s
	}
	if s.whole = bytes.HasSuffix(text, []byte("\n\n")); !s.whole {
		return s
	}
	for line := range strings.Lines(string(text)) {
		if data, ok := strings.CutPrefix(line, "data: "); ok && bytes.Contains(text, []byte("event: users\n")) {
			s.err = s.decode(data, f.numbers)
		}
	}
	return s
}

func (s *saying) decode(data string, numbers map[string]int) error {
	var body struct {
		Users []struct {
			ID    string `json:"user_id"`
			Count uint32 `json:"event_count"`
		} `json:"users"`
	}
	if err := json.Unmarshal([]byte(data), &body); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	for _, u := range body.Users {
		n, ok := numbers[u.ID]
		if !ok {
			return fmt.Errorf("stream: user %s does not exist", u.ID)
		}
		s.users, s.counts = append(s.users, int32(n)), append(s.counts, u.Count)
	}
	return nil
}

func (r *reader) apply(s *saying) {
	r.mu.Lock()
	for i, n := range s.users {
		r.counts[n] = s.counts[i]
	}
	r.mu.Unlock()
}

// behind counts the clients that do not show what is wanted, and the rows that they lack together. An error is that of a client
// that has lost its stream.
func (f *fleet) behind(want []uint32) (clients, rows int, err error) {
	for _, r := range f.readers {
		r.mu.Lock()
		wrong := 0
		for i, n := range want {
			if r.counts[i] != n {
				wrong++
			}
		}
		if r.err != nil {
			err = r.err
		}
		r.mu.Unlock()
		if wrong > 0 {
			clients, rows = clients+1, rows+wrong
		}
	}
	return clients, rows, err
}

// settle waits until all clients show what is wanted, for a while at most.
func (f *fleet) settle(ctx context.Context, want []uint32, limit time.Duration) error {
	for end := time.Now().Add(limit); ; {
		clients, rows, err := f.behind(want)
		switch {
		case err != nil:
			return fmt.Errorf("%w: a client that reads has lost its stream: %w", errWrong, err)
		case clients == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%w: after %s, %d clients lack %d final values", errWrong, limit, clients, rows)
		}
		if err := f.p.process.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
