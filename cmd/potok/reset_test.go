package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// says fails the test if a command ended in another way, or did not say something.
func says(t *testing.T, env map[string]string, args []string, code int, what ...string) {
	t.Helper()
	got, stdout, stderr := command(t, env, args...)
	if got != code {
		t.Errorf("potok %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	for _, s := range what {
		if !strings.Contains(stdout+stderr, s) {
			t.Errorf("potok %s does not say %q:\n%s%s", strings.Join(args, " "), s, stdout, stderr)
		}
	}
}

func TestResetRecomputes(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(21, 1))
		w.some(rnd, 800)
		w.bad(&kgo.Record{Topic: w.names.Users, Value: []byte("?")})
		dir := t.TempDir()
		env = with(t, env, dir)
		env["POTOK_SESSION_TIMEOUT"] = "6s"
		w.stranger()
		i := start(t, env, "run")
		w.settled(i)

		says(t, env, []string{"reset", "--yes"}, exitFailed, "another potok process is using --data-dir")
		elsewhere := with(t, env, t.TempDir())
		says(t, elsewhere, []string{"reset", "--yes"}, exitFailed, "potok is in use: group potok-rekey-users has members potok-", "stop every potok process")
		i.stop()
		says(t, env, []string{"reset"}, exitFailed, "topic potok-activity-table", "group potok-rekey-events", filepath.Join(dir, "process"), errNotConfirmed.Error())
		if got := w.own(); len(got) != 9 { // seven topics of ours, and the raw ones
			t.Errorf("after a reset that was not confirmed there are the topics %v", got)
		}

		// Half of it was done already, as if an earlier reset had been killed.
		if _, err := w.admin.DeleteTopic(t.Context(), w.names.ActivityStream()); err != nil {
			t.Fatal(err)
		}
		says(t, env, []string{"reset", "--yes"}, exitDone, "deleted topic potok-dlq", "deleted group potok-activity", "deleted directory "+filepath.Join(dir, "view"))
		if got := w.own(); len(got) != 2 {
			t.Errorf("after the reset there are the topics %v", got)
		}
		groups, err := w.admin.ListGroups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if names := groups.Groups(); len(names) != 1 || names[0] != "potok-other" {
			t.Errorf("after the reset there are the groups %v", names)
		}
		if _, err := os.Stat(filepath.Join(dir, "process")); err == nil {
			t.Error("local state is still there")
		}
		says(t, env, []string{"reset", "--yes"}, exitDone, "there is nothing to delete")

		i = start(t, env, "run")
		w.some(rnd, 200)
		w.settled(i)
		verified(t, env, i, exitDone, "equal")
	})
}

// stranger is somebody else's group, with a name much like ours.
func (w *world) stranger() {
	w.t.Helper()
	w.acked.Wait()
	to := kadm.Offsets{}
	to.AddOffset(w.names.Events, 0, 1, -1)
	if err := w.admin.CommitAllOffsets(w.t.Context(), "potok-other", to); err != nil {
		w.t.Fatal(err)
	}
}

// own lists the topics that there are, without Kafka's.
func (w *world) own() []string {
	w.t.Helper()
	topics, err := w.admin.ListTopics(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return topics.Names()
}

func TestResetSaysWhatIsLost(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(22, 1))
		w.some(rnd, 300)
		env = with(t, env, t.TempDir())
		i := start(t, env, "run")
		w.settled(i)
		w.remake(w.names.Events, eventsPartitions)
		w.some(rnd, 300)
		w.settled(i)
		r, err := w.admin.DeleteRecords(t.Context(), kadm.Offsets{w.names.Users: {2: {Topic: w.names.Users, Partition: 2, At: 5}}})
		if err == nil {
			err = r.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		i.stop()
		says(t, env, []string{"reset", "--yes"}, exitFailed, "CorpAppsTopic/2: 5 records, those below offset 5, have expired",
			"potok-event-types-table has counted records of a raw topic that is gone", "--accept-loss")
		if got := w.own(); len(got) != 9 {
			t.Errorf("after a reset that was refused there are the topics %v", got)
		}
		says(t, env, []string{"reset", "--yes", "--accept-loss"}, exitDone, "deleted topic potok-users-table")
		i = start(t, env, "run")
		verified(t, env, i, exitFailed, "CorpAppsTopic/2: the records below offset 5 have expired", "no differences in what could be verified")
	})
}

func TestConfirmed(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "да\n": true, "y": true, "\n": false, "": false, "no\n": false, "yesterday\n": false} {
		if got := confirmed(strings.NewReader(answer), io.Discard, "?"); got != want {
			t.Errorf("%q: %v", answer, got)
		}
	}
}

// TestTableMadeAnew: a view that runs on while somebody resets does not go on to serve what is no longer true.
func TestTableMadeAnew(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		w.some(rand.New(rand.NewPCG(22, 1)), 200)
		i, view := start(t, with(t, env, t.TempDir()), "process"), start(t, with(t, env, t.TempDir()), "view")
		w.settled(view)
		i.stop()
		says(t, with(t, env, t.TempDir()), []string{"reset", "--yes"}, exitDone)
		start(t, with(t, env, t.TempDir()), "process") // makes the topics
		eventually(t, "the view ends", func() error {
			select {
			case code := <-view.exit:
				view.cancel()
				view.cancel = nil
				if log := view.log.String(); code != exitFailed || !strings.Contains(log, "deleted and made anew while this view ran") {
					t.Errorf("exit code %d, log:\n%s", code, log)
				}
				return nil
			default:
				return errors.New("it runs")
			}
		})
		again := start(t, with(t, env, t.TempDir()), "view")
		w.settled(again)
	})
}
