//go:build unix

package main

import (
	"context"
	"syscall"
	"time"
)

// kinds returns all faults.
func kinds() []kind {
	return []kind{
		{"kill", "kill -9 of an instance; it is back on its directory within the session time-out", 4, 1, false, false, (*fault).kill},
		{"kill-late", "the same; it is back when others have its partitions", 2, 1, false, false, (*fault).killLate},
		{"kill-elsewhere", "kill -9 of an instance; it is back on a directory that was never used", 2, 1, false, false, (*fault).killElsewhere},
		{"kill-wiped", "kill -9 of an instance; it is back on its directory, which is empty", 2, 1, false, false, (*fault).killWiped},
		{"pause", "SIGSTOP of an instance under load for longer than the session time-out, then SIGCONT", 3, 1, false, false, (*fault).pause},
		{"pause-short", "the same, for less than the session time-out", 2, 1, false, false, (*fault).pauseShort},
		{"pause-in-flight", "the same as pause, with changelog writes that the broker has not answered", 2, 1, true, false, (*fault).pauseInFlight},
		{"return", "an instance is paused, the others take over, are killed and lose their disks, it goes on", 3, allOfThem, false, false, (*fault).comeBack},
		{"term", "SIGTERM of an instance, and a restart on its directory", 3, 1, false, false, (*fault).term},
		{"all-killed", "kill -9 of all instances; sometimes their disks are lost", 2, allOfThem, false, false, (*fault).allKilled},
		{"broker-kill", "kill -9 of the broker, and a restart on its data and port", 2, 0, true, false, (*fault).brokerKill},
		{"broker-pause", "SIGSTOP of the broker, then SIGCONT", 1, 0, true, false, (*fault).brokerPause},
		{"join-leave", "an instance joins; later some instance leaves for good", 2, 1, false, false, (*fault).joinLeave},
		{"grow", "a raw topic gets more partitions", 1, 0, false, false, (*fault).grow},
		{"grow-unseen", "kill -9 of all instances; a raw topic gets more partitions; they are back before their group knows", 1, allOfThem, false, false, (*fault).growUnseen},
		{"view-kill", "kill -9 of the view; it is back on its directory", 2, 0, false, true, (*fault).viewKill},
		{"view-elsewhere", "kill -9 of the view; it is back on a directory that was never used", 1, 0, false, true, (*fault).viewElsewhere},
		{"surge", "five times the load for some seconds", 2, 0, false, false, (*fault).surge},
		{"lull", "no load for some seconds", 1, 0, false, false, (*fault).lull},
		{"link-hold", "what an instance sends reaches the broker only when others have its partitions", 3, 1, false, false, (*fault).linkHold},
		{"stale-left", "the same, and the instance dies; few users are busy while compaction goes over it, then all lose their disks", 1, allOfThem, false, false, (*fault).staleLeft},
		{"link-mute", "what the broker answers reaches an instance only when others have its partitions", 2, 1, false, false, (*fault).linkMute},
		{"link-cut", "an instance and the broker do not reach each other", 2, 1, false, false, (*fault).linkCut},
	}
}

// start starts an instance again; that it can't is the harness's trouble, which the next check meets.
func (f *fault) start(m *member, where string) {
	f.journal.note("start %s, %s", m.name, where)
	if err := m.start(); err != nil {
		f.journal.note("start %s: %v", m.name, err)
	}
}

func (f *fault) killed(m *member) {
	f.journal.note("kill -9 %s", m.name)
	f.summary.restart()
	m.kill()
}

func (f *fault) kill(ctx context.Context) {
	m := f.targets[0]
	f.killed(m)
	f.sleep(ctx, 0, f.o.session/3)
	f.start(m, "same directory")
}

func (f *fault) killLate(ctx context.Context) {
	m := f.targets[0]
	f.killed(m)
	f.sleep(ctx, f.o.session+time.Second, f.o.session+6*time.Second)
	f.start(m, "same directory, late")
}

func (f *fault) killElsewhere(ctx context.Context) {
	m := f.targets[0]
	f.killed(m)
	f.sleep(ctx, 0, f.o.session*3/2)
	m.freshDir()
	f.start(m, "another directory")
}

func (f *fault) killWiped(ctx context.Context) {
	m := f.targets[0]
	f.killed(m)
	keepID := f.rnd.IntN(2) == 0
	if err := m.wipe(keepID); err != nil {
		f.journal.note("wipe %s: %v", m.name, err)
	}
	f.sleep(ctx, 0, f.o.session*3/2)
	if keepID {
		f.start(m, "directory wiped but for the instance id")
	} else {
		f.start(m, "directory wiped")
	}
}

// surging multiplies the load for a while.
func (f *fault) surging(ctx context.Context, least, most time.Duration) {
	f.load.rate.Store(int64(5 * f.o.rate))
	f.sleep(ctx, least, most)
	f.load.rate.Store(int64(f.o.rate))
}

func (f *fault) pause(ctx context.Context) {
	m := f.targets[0]
	f.load.rate.Store(int64(5 * f.o.rate))
	f.sleep(ctx, 200*time.Millisecond, time.Second)
	f.journal.note("SIGSTOP %s", m.name)
	m.freeze()
	f.load.rate.Store(int64(f.o.rate))
	f.sleep(ctx, f.o.session+time.Second, f.o.session+6*time.Second)
	f.journal.note("SIGCONT %s", m.name)
	m.thaw()
	f.sleep(ctx, 0, 3*time.Second)
}

func (f *fault) pauseShort(ctx context.Context) {
	m := f.targets[0]
	f.journal.note("SIGSTOP %s", m.name)
	m.freeze()
	f.sleep(ctx, time.Second, f.o.session-500*time.Millisecond)
	f.journal.note("SIGCONT %s", m.name)
	m.thaw()
}

func (f *fault) pauseInFlight(ctx context.Context) {
	m := f.targets[0]
	f.load.rate.Store(int64(5 * f.o.rate))
	defer f.load.rate.Store(int64(f.o.rate))
	f.sleep(ctx, 300*time.Millisecond, time.Second)
	f.signalBroker(syscall.SIGSTOP)
	f.sleep(ctx, 100*time.Millisecond, 600*time.Millisecond)
	f.journal.note("SIGSTOP %s", m.name)
	m.freeze()
	f.signalBroker(syscall.SIGCONT)
	f.load.rate.Store(int64(f.o.rate))
	f.sleep(ctx, f.o.session+time.Second, f.o.session+6*time.Second)
	f.journal.note("SIGCONT %s", m.name)
	m.thaw()
}

func (f *fault) signalBroker(sig syscall.Signal) {
	f.journal.note("broker: %v", sig)
	if err := f.broker.signal(sig); err != nil {
		f.journal.note("broker: %v", err)
	}
}

// comeBack is the history for which rows merge: the partitions come back to an old directory, and the disk that had the
// newer rows is gone.
func (f *fault) comeBack(ctx context.Context) {
	first, others := f.targets[0], f.targets[1:]
	f.journal.note("SIGSTOP %s", first.name)
	first.freeze()
	f.sleep(ctx, f.o.session+3*time.Second, f.o.session+8*time.Second) // others take over, and write
	for _, m := range others {
		f.killed(m)
		m.freshDir()
	}
	if f.rnd.IntN(2) == 0 { // else it is back before the group knows that the others are gone
		f.sleep(ctx, 0, f.o.session)
	}
	f.journal.note("SIGCONT %s", first.name)
	first.thaw()
	f.sleep(ctx, f.o.session, f.o.session+8*time.Second)
	for _, m := range others {
		f.start(m, "disk lost")
	}
}

func (f *fault) term(ctx context.Context) {
	m := f.targets[0]
	f.journal.note("SIGTERM %s", m.name)
	f.summary.restart()
	took := m.stop()
	f.journal.note("%s ended after %s", m.name, took.Round(10*time.Millisecond))
	if f.rnd.IntN(4) == 0 {
		f.sleep(ctx, f.o.session, f.o.session+5*time.Second)
	} else {
		f.sleep(ctx, 0, f.o.session/4)
	}
	f.start(m, "same directory")
}

func (f *fault) allKilled(ctx context.Context) {
	lost := f.rnd.IntN(4) == 0
	for _, m := range f.targets {
		f.killed(m)
		if lost {
			m.freshDir()
		}
	}
	f.sleep(ctx, 0, f.o.session/2)
	for _, m := range f.targets {
		if lost {
			f.start(m, "all disks lost")
		} else {
			f.start(m, "same directory")
		}
	}
}

func (f *fault) brokerKill(ctx context.Context) {
	f.journal.note("kill -9 of the broker")
	if err := f.broker.kill(ctx); err != nil {
		f.journal.note("kill the broker: %v", err)
	}
	if f.rnd.IntN(2) == 0 {
		f.sleep(ctx, 0, f.o.session*2)
	}
	if err := f.broker.start(context.WithoutCancel(ctx)); err != nil {
		f.journal.note("start the broker: %v", err)
		return
	}
	f.journal.note("the broker is back")
	f.sleep(ctx, 5*time.Second, 10*time.Second)
}

func (f *fault) brokerPause(ctx context.Context) {
	f.signalBroker(syscall.SIGSTOP)
	f.sleep(ctx, time.Second, f.o.session*2)
	f.signalBroker(syscall.SIGCONT)
	f.sleep(ctx, 3*time.Second, 6*time.Second)
}

func (f *fault) joinLeave(ctx context.Context) {
	joined, err := f.enlist(f.rnd.IntN(2) == 0)
	if err != nil {
		f.journal.note("join: %v", err)
		return
	}
	f.mu.Lock()
	f.busy[joined] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.busy, joined)
		f.mu.Unlock()
	}()
	f.journal.note("%s joins", joined.name)
	f.sleep(ctx, 3*time.Second, 20*time.Second)
	leaving := f.targets[0]
	if f.rnd.IntN(2) == 0 {
		leaving = joined
	}
	if f.rnd.IntN(2) == 0 {
		f.journal.note("%s leaves for good, by SIGTERM", leaving.name)
		leaving.stop()
	} else {
		f.journal.note("%s leaves for good, by kill -9", leaving.name)
		leaving.kill()
	}
	f.retire(leaving)
}

func (f *fault) grow(ctx context.Context) {
	f.mu.Lock()
	f.grown++
	often := f.grown > maxGrowths
	f.mu.Unlock()
	if often {
		return
	}
	topic, more := f.names.users, 1+f.rnd.IntN(2)
	if f.rnd.IntN(2) == 0 {
		topic = f.names.events
	}
	resp, err := f.admin.CreatePartitions(ctx, more, topic)
	if err == nil {
		err = resp.Error()
	}
	f.journal.note("%s has %d partitions more: %v", topic, more, err)
}

func (f *fault) growUnseen(ctx context.Context) {
	for _, m := range f.targets {
		f.killed(m)
	}
	f.grow(ctx)
	for _, m := range f.targets {
		f.start(m, "same directory")
	}
	f.sleep(ctx, 0, 2*f.o.session)
}

func (f *fault) viewKill(ctx context.Context) {
	f.killed(f.view)
	f.sleep(ctx, 0, 3*time.Second)
	f.start(f.view, "same directory")
	f.sleep(ctx, 0, 5*time.Second)
}

func (f *fault) viewElsewhere(ctx context.Context) {
	f.killed(f.view)
	f.view.freshDir()
	f.start(f.view, "another directory")
	f.sleep(ctx, 0, 5*time.Second)
}

func (f *fault) surge(ctx context.Context) {
	f.journal.note("surge")
	f.surging(ctx, 2*time.Second, 6*time.Second)
}

func (f *fault) lull(ctx context.Context) {
	f.journal.note("lull")
	f.load.rate.Store(0)
	f.sleep(ctx, 2*time.Second, 8*time.Second)
	f.load.rate.Store(int64(f.o.rate))
}

func (f *fault) linkHold(ctx context.Context) {
	f.linked(ctx, "what %s sends is held back", linkHeld, f.o.session+2*time.Second, f.o.session+8*time.Second)
}

// staleLeft leaves stale rows at the end of the changelog of users of whom nobody hears any more: unless the rows have been
// written anew by the time compaction goes over them, they are all that a lost disk is restored from.
func (f *fault) staleLeft(ctx context.Context) {
	m := f.targets[0]
	f.sleep(ctx, time.Second, 2*time.Second)
	f.journal.note("what %s sends is held back", m.name)
	f.broker.links[m.link].set(linkHeld)
	f.sleep(ctx, f.o.session+4*time.Second, f.o.session+8*time.Second) // others take over, and write
	f.load.narrow.Store(true)
	defer f.load.narrow.Store(false)
	f.sleep(ctx, time.Second, 2*time.Second)
	f.killed(m) // else it would come back, and with it a rebalance in which everybody reads what is new
	f.journal.note("the link of %s is open", m.name)
	f.broker.links[m.link].set(linkOpen)
	f.sleep(ctx, f.o.compaction+10*time.Second, f.o.compaction+12*time.Second)
	for _, o := range f.targets {
		if o != m {
			f.killed(o)
		}
		o.freshDir()
	}
	for _, o := range f.targets {
		f.start(o, "all disks lost")
	}
	f.sleep(ctx, f.o.session, f.o.session+4*time.Second)
}

func (f *fault) linkMute(ctx context.Context) {
	f.linked(ctx, "what %s is answered is held back", linkMute, f.o.session+2*time.Second, f.o.session+8*time.Second)
}

func (f *fault) linkCut(ctx context.Context) {
	f.linked(ctx, "%s is cut off", linkCut, time.Second, f.o.session+6*time.Second)
}

func (f *fault) linked(ctx context.Context, what string, s linkState, least, most time.Duration) {
	m := f.targets[0]
	f.load.rate.Store(int64(5 * f.o.rate))
	f.sleep(ctx, 300*time.Millisecond, time.Second)
	f.journal.note(what, m.name)
	f.broker.links[m.link].set(s)
	f.load.rate.Store(int64(f.o.rate))
	f.sleep(ctx, least, most)
	f.journal.note("the link of %s is open", m.name)
	f.broker.links[m.link].set(linkOpen)
	f.sleep(ctx, 0, 3*time.Second)
}
