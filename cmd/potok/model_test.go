package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestModel runs random histories on a cluster of three embedded brokers that misbehave: they take long, answer with
// errors (also after they have done what was asked), drop connections, and move leaders and coordinators, while records
// are published and instances come and go. In the end both results are what was published. POTOK_MODEL_HISTORIES says how
// many histories to run, POTOK_MODEL_SEED which is the first.
func TestModel(t *testing.T) {
	histories, first := envInt(t, "POTOK_MODEL_HISTORIES", 8), envInt(t, "POTOK_MODEL_SEED", 1)
	for seed := first; seed < first+histories; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, uint64(seed))
			for range 8 + h.rnd.IntN(12) {
				h.step()
			}
			h.end()
		})
	}
}

func envInt(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

const sessionTimeout = 2 * time.Second

type history struct {
	t         *testing.T
	rnd       *rand.Rand
	cluster   *kfake.Cluster
	env       map[string]string
	w         *world
	instances [3]*instance // of the processors; nil: stopped
	dirs      [3]string
	faults    []*kfake.FaultHandle
	late      atomic.Int64 // how many answers are still to come late
	quiet     atomic.Bool  // no more mischief
	did       []string
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, rnd: rand.New(rand.NewPCG(seed, 0))}
	listen := func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return lateListener{l, &h.late}, err
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.ListenFn(listen), kfake.GroupMinSessionTimeout(time.Second), kfake.BrokerConfigs(map[string]string{"log.retention.ms": "-1"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	h.cluster = c
	h.env = map[string]string{"KAFKA_BOOTSTRAP_SERVERS": strings.Join(c.ListenAddrs(), ",")}
	h.w = newWorld(t, map[string]string{"KAFKA_BOOTSTRAP_SERVERS": c.ListenAddrs()[0]})
	h.env = with(t, h.env, t.TempDir())
	h.env["POTOK_SESSION_TIMEOUT"] = sessionTimeout.String()
	for n := range h.dirs {
		h.dirs[n] = t.TempDir()
	}
	h.expel()
	h.start(0)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d did: %s", seed, strings.Join(h.did, ", "))
		}
	})
	return h
}

func (h *history) start(n int) {
	env := maps.Clone(h.env)
	env["POTOK_DATA_DIR"] = h.dirs[n]
	h.instances[n] = start(h.t, env, "process")
}

// expel does what a coordinator does with members that it has not heard of for longer than their session time-out. kfake
// forgets it for those whose connection ended while they waited to be let in: they would keep their partitions for ever.
func (h *history) expel() {
	var mu sync.Mutex
	heard := map[string]time.Time{} // by member
	h.cluster.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		heard[r.(*kmsg.HeartbeatRequest).MemberID] = time.Now()
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			groups, _ := h.w.admin.DescribeGroups(ctx) // what does not answer now is asked again
			for _, g := range groups {
				for _, m := range g.Members {
					mu.Lock()
					if _, ok := heard[m.MemberID]; !ok || g.State != "Stable" {
						heard[m.MemberID] = time.Now() // who waits for the others sends no heartbeats
					}
					silent := time.Since(heard[m.MemberID])
					mu.Unlock()
					if silent > 2*sessionTimeout {
						leave := kmsg.NewPtrLeaveGroupRequest()
						leave.Group = g.Group
						leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.MemberID, InstanceID: m.InstanceID}}
						_, _ = leave.RequestWith(ctx, h.w.client)
					}
				}
			}
		}
	}()
	h.t.Cleanup(func() { cancel(); <-done })
}

// step does one thing at random.
func (h *history) step() {
	what := ""
	switch n := h.rnd.IntN(10); n {
	case 0, 1, 2:
		what = "publish"
		h.w.some(h.rnd, 50+h.rnd.IntN(400))
	case 3:
		what = h.fail()
	case 4:
		what = "delay"
		h.delay()
	case 5:
		what = "drop connections"
		h.drop()
	case 6:
		what = "move leaders"
		h.move()
	case 7:
		what = "move coordinators"
		h.cluster.RehashCoordinators()
	case 8:
		n := h.rnd.IntN(len(h.instances))
		if h.instances[n] == nil {
			what = fmt.Sprint("start ", n)
			h.start(n)
		} else {
			what = fmt.Sprint("stop ", n)
			h.instances[n].stop()
			h.instances[n] = nil
			if h.rnd.IntN(2) == 0 {
				what += " and take its disk"
				h.dirs[n] = h.t.TempDir()
			}
		}
	case 9:
		what = "wait"
		time.Sleep(time.Duration(h.rnd.IntN(300)) * time.Millisecond)
	}
	h.did = append(h.did, what)
}

// fail makes the brokers answer some requests with an error, before or after they have done what was asked.
func (h *history) fail() string {
	produce := []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas,
		kerr.OutOfOrderSequenceNumber, kerr.MessageTooLarge, kerr.KafkaStorageError,
	}
	commit := []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.RequestTimedOut, kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress}
	f := kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: produce[h.rnd.IntN(len(produce))], Count: 1 + h.rnd.IntN(5)}
	topics := []string{h.w.names.UsersStream(), h.w.names.ActivityStream(), h.w.names.EventTypesStream(), h.w.names.UsersTable(), h.w.names.ActivityTable(), h.w.names.EventTypesTable()}
	if h.rnd.IntN(3) == 0 {
		f.Keys, f.Err = []kmsg.Key{kmsg.OffsetCommit}, commit[h.rnd.IntN(len(commit))]
	} else {
		f.Topic = topics[h.rnd.IntN(len(topics))]
	}
	h.faults = append(h.faults, h.cluster.Fault(f))
	return fmt.Sprintf("%d times %s for %v %s", f.Count, f.Err.Message, f.Keys[0], f.Topic)
}

// delay makes a few of the next answers come late, each on its own connection.
func (h *history) delay() { h.late.Add(int64(1 + h.rnd.IntN(8))) }

// maxDelay is how late an answer comes at most.
const maxDelay = 700 * time.Millisecond

// lateListener's connections hold answers back while late is above 0. (kfake can hold requests back by itself, but not
// without a data race.)
type lateListener struct {
	net.Listener
	late *atomic.Int64
}

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return lateConn{c, l.late}, nil
}

type lateConn struct {
	net.Conn
	late *atomic.Int64
}

func (c lateConn) Write(b []byte) (int, error) {
	if c.late.Load() > 0 && c.late.Add(-1) >= 0 {
		time.Sleep(rand.N(maxDelay))
	}
	return c.Conn.Write(b)
}

var errDropped = errors.New("dropped")

// drop closes the connections that a few of the next requests come in by.
func (h *history) drop() {
	for range 1 + h.rnd.IntN(4) {
		key := []kmsg.Key{kmsg.Produce, kmsg.OffsetCommit, kmsg.Fetch, kmsg.Heartbeat, kmsg.Metadata}[h.rnd.IntN(5)]
		h.cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			if h.quiet.Load() {
				h.cluster.DropControl()
				return nil, nil, false
			}
			return nil, errDropped, true
		})
	}
}

// move gives partitions another leader.
func (h *history) move() {
	names := h.w.names
	for _, topic := range []string{names.UsersStream(), names.ActivityStream(), names.ActivityTable(), names.EventTypesTable(), names.Events} {
		// An error means that the partition is not there, or that its leader is this one already.
		_ = h.cluster.MoveTopicPartition(topic, h.rnd.Int32N(4), h.rnd.Int32N(3))
	}
}

// end stops the mischief and compares the results.
func (h *history) end() {
	h.quiet.Store(true)
	h.late.Store(0)
	for _, f := range h.faults {
		f.Remove()
	}
	if h.instances == [3]*instance{} {
		h.start(0)
	}
	h.w.settled(start(h.t, h.env, "view"))
}
