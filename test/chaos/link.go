//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// link is the network between one instance and the broker: a proxy that can be cut, or hold back what the instance sends.
// What is held back arrives when the link is released, even when the instance has hung up meanwhile: so a row that an
// instance sent as the owner of a partition reaches the broker when somebody else owns the partition, which no care that
// the instance takes can prevent.
type link struct {
	target string
	addr   string

	mu     sync.Mutex
	l      net.Listener // nil while the broker is down: then nobody answers, as without a link
	state  linkState
	opened time.Time     // the last time
	freed  chan struct{} // closed when the state changes
	conns  map[net.Conn]bool
}

type linkState int

const (
	linkOpen linkState = iota
	linkHeld           // nothing that the instance sends arrives, yet
	linkMute           // nothing that the broker answers arrives, yet
	linkCut            // no connection
)

func newLink(target string) (*link, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	k := &link{target: target, addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), freed: make(chan struct{}), conns: map[net.Conn]bool{}}
	return k, k.listen()
}

// listen and deafen are for when the broker starts and ends.
func (k *link) listen() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.l != nil {
		return nil
	}
	l, err := net.Listen("tcp", k.addr)
	if err != nil {
		return err
	}
	k.l = l
	go k.serve(l)
	return nil
}

func (k *link) deafen() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.l != nil {
		k.l.Close()
		k.l = nil
	}
}

// set changes the state. Cutting ends the connections that there are.
func (k *link) set(s linkState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state = s; s == linkOpen {
		k.opened = time.Now()
	}
	close(k.freed)
	k.freed = make(chan struct{})
	if s == linkCut {
		for c := range k.conns {
			c.Close()
		}
	}
}

// troubled says whether the link was not open at any time since then.
func (k *link) troubled(since time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state != linkOpen || k.opened.After(since)
}

func (k *link) close() {
	k.deafen()
	k.set(linkCut)
}

// wait blocks while the link is in the given state.
func (k *link) wait(s linkState) {
	for {
		k.mu.Lock()
		state, freed := k.state, k.freed
		k.mu.Unlock()
		if state != s {
			return
		}
		<-freed
	}
}

func (k *link) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go k.carry(c)
		}
	}
}

func (k *link) track(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state == linkCut {
		return false
	}
	k.conns[c] = true
	return true
}

func (k *link) carry(client net.Conn) {
	defer client.Close()
	if !k.track(client) {
		return
	}
	server, err := net.DialTimeout("tcp", k.target, 5*time.Second)
	if err != nil {
		k.forget(client)
		return
	}
	defer server.Close()
	if !k.track(server) {
		return
	}
	defer k.forget(client, server)
	up := make(chan struct{})
	go func() {
		defer close(up)
		k.pump(server, client, linkHeld)
		if c, ok := server.(*net.TCPConn); ok {
			_ = c.CloseWrite() // the broker answers what it has got
		}
	}()
	k.pump(client, server, linkMute)
	client.Close()
	<-up // what the instance sent before it hung up still arrives
}

func (k *link) forget(conns ...net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range conns {
		delete(k.conns, c)
	}
}

// pump copies until either side ends, and stands still while the link is in the given state.
func (k *link) pump(to, from net.Conn, held linkState) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			k.wait(held)
			if _, werr := to.Write(buf[:n]); werr != nil {
				_, _ = io.Copy(io.Discard, from) // so that the other side is not held up
				return
			}
		}
		if err != nil {
			return
		}
	}
}
