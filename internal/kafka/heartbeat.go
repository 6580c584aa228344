package kafka

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// The requests whose answer says that the group's coordinator counts this member as alive.
const (
	apiJoinGroup = 11
	apiHeartbeat = 12
	apiSyncGroup = 14
)

// heartbeatConn watches a connection for the coordinator's answers: sarama tells nobody whether its heartbeats are
// answered. It reads no more than the headers: a request's length, API key and correlation id (sarama writes a request
// at once), and an answer's length and correlation id.
type heartbeatConn struct {
	net.Conn
	alive func(asked time.Time)

	mu    sync.Mutex
	asked map[uint32]time.Time // by correlation id, of requests that are not answered yet; zero: to be let in

	// Of the answers' stream, which only Read looks at: the header so far, and what is left of the body.
	header [8]byte
	have   int
	body   int
}

func (c *heartbeatConn) Write(b []byte) (int, error) {
	if len(b) >= 12 {
		switch binary.BigEndian.Uint16(b[4:]) {
		case apiHeartbeat:
			c.ask(b, time.Now())
		case apiJoinGroup, apiSyncGroup:
			c.ask(b, time.Time{})
			c.alive(time.Time{})
		}
	}
	return c.Conn.Write(b)
}

func (c *heartbeatConn) ask(request []byte, at time.Time) {
	c.mu.Lock()
	c.asked[binary.BigEndian.Uint32(request[8:])] = at
	c.mu.Unlock()
}

func (c *heartbeatConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.observe(b[:n])
	return n, err
}

func (c *heartbeatConn) observe(b []byte) {
	for len(b) > 0 {
		if c.body > 0 {
			n := min(c.body, len(b))
			c.body -= n
			b = b[n:]
			continue
		}
		n := copy(c.header[c.have:], b)
		c.have += n
		b = b[n:]
		if c.have < len(c.header) {
			return
		}
		c.have = 0
		c.body = max(int(int32(binary.BigEndian.Uint32(c.header[:])))-4, 0)
		c.answered(binary.BigEndian.Uint32(c.header[4:]))
	}
}

func (c *heartbeatConn) answered(id uint32) {
	c.mu.Lock()
	asked, ok := c.asked[id]
	delete(c.asked, id)
	c.mu.Unlock()
	if !ok {
		return
	}
	if asked.IsZero() {
		asked = time.Now() // being let in may have taken long, and the time-out begins only then
	}
	c.alive(asked)
}
