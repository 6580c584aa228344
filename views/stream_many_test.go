package views

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// sameLines decodes what many streams say: they are sent the same.
type sameLines struct {
	mu   sync.Mutex
	said map[string]UsersEvent
}

func (s *sameLines) users(data string) (UsersEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.said[data]
	if !ok {
		if err := json.Unmarshal([]byte(data), &u); err != nil {
			return u, err
		}
		s.said[data] = u
	}
	return u, nil
}

// Two hundred streams, three of which read nothing: the others see every final value, the feeder waits for nobody, what is kept
// for them is bounded, and the three are dropped. See also bench, command clients.
func TestManyStreams(t *testing.T) {
	const clients, stalled, rows, changes, rate = 200, 3, 500, 2000, 1000
	f := newTables()
	long := strings.Repeat("long name ", 200) // so that the kernel's buffers are soon full
	name := func(i int) string {
		if i%50 == 0 {
			return long
		}
		return "Anna"
	}
	want := make(map[string]uint64)
	for i := range rows {
		want[fmt.Sprint(i)] = 1
		f.put(fmt.Sprint(i), activity(name(i), 1, 0))
	}
	s, base := serve(t, f, func(c *Config) { c.StreamTimeout = 3 * time.Second; c.Coalesce = 20 * time.Millisecond })
	for range stalled {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprint(conn, "GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var settled, done sync.WaitGroup
	var finals sync.Map // what each client must see; there once the changes are over
	over := make(chan struct{})
	shared := &sameLines{said: make(map[string]UsersEvent)}
	for range clients - stalled {
		settled.Add(1)
		done.Go(func() {
			once := sync.OnceFunc(settled.Done)
			defer once()
			if err := readUntil(ctx, base+"/v1/stream", shared, func(counts map[string]uint64) bool {
				if len(counts) == rows {
					once()
				}
				select {
				case <-over:
				default:
					return false
				}
				equal := true
				finals.Range(func(id, n any) bool {
					equal = counts[id.(string)] == n
					return equal
				})
				return equal
			}); err != nil {
				t.Error(err)
			}
		})
	}
	settled.Wait()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var slowest time.Duration
	for n := 0; n < changes; {
		<-tick.C
		for due := min(changes, int(time.Since(began).Seconds()*rate)); n < due; n++ {
			i := n * 7919 % rows
			id := fmt.Sprint(i)
			want[id]++
			put := time.Now()
			f.put(id, activity(name(i), want[id], 0))
			slowest = max(slowest, time.Since(put))
		}
	}
	want["the last"] = 1
	for id, n := range want {
		finals.Store(id, n)
	}
	close(over)
	f.put("the last", activity("Zoya", 1, 0)) // so that there is something to read after that
	done.Wait()
	if t.Failed() {
		return
	}
	if slowest > 2*time.Second {
		t.Errorf("the feeder waited %s for the streams", slowest)
	}
	s.frames.mu.Lock()
	live, pages := len(s.frames.live), len(s.frames.pages)
	s.frames.mu.Unlock()
	if live > liveLimit || pages > pageLimit {
		t.Errorf("%d live frames and %d pages are kept", live, pages)
	}

	for n := uint64(1000); ; n++ { // what does not read is noticed when there is something to write
		_, metrics := fetch(t, "GET", base+"/metrics")
		if strings.Contains(metrics, fmt.Sprintf(`potok_sse_dropped_total{reason="stalled"} %d`, stalled)) {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("not dropped:\n%s", metrics)
		}
		for i := 0; i < rows; i += 50 {
			f.put(fmt.Sprint(i), activity(long, n, 0))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// readUntil reads a stream until the latest counts of all rows are what is wanted.
func readUntil(ctx context.Context, url string, shared *sameLines, good func(counts map[string]uint64) bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	counts := make(map[string]uint64)
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("with %d rows: %w", len(counts), err)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || !strings.HasPrefix(data, `{"users"`) {
			continue
		}
		u, err := shared.users(data)
		if err != nil {
			return err
		}
		for _, row := range u.Users {
			counts[row.UserID] = row.EventCount
		}
		if good(counts) {
			return nil
		}
	}
}
