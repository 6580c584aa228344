// Package reset deletes what Potok has made, so that the next start recomputes everything from the raw topics: its own
// topics, its consumer groups, and local state. Raw topics, and what belongs to others, it never touches.
//
// What the raw topics do not hold any more can't be recomputed; [Make] finds out about it before anything is deleted.
//
// A reset that was cut short is finished by another one. Until then nothing is counted wrongly, whatever starts meanwhile,
// because of the order: groups go first, so that everything will be read again, and streams before tables: a new table
// must not be filled from an old stream, whose records would move its marks past what is read again.
package reset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/topology"
)

const (
	poll = 200 * time.Millisecond
	// goneAfter bounds how long the brokers may take to delete.
	goneAfter = 30 * time.Second
)

// Options say what to reset.
type Options struct {
	Topics   topology.Config
	Kafka    kafka.Config
	Admin    *kadm.Client
	DataDir  string // its locks are held by the caller
	Instance string // the static member that this directory's process was; it is known not to run. May be empty
}

// Plan is what a reset will delete, and what will be lost by it.
type Plan struct {
	Topics []string  `json:"topics"` // in the order in which they are deleted
	Groups []string  `json:"groups"`
	Local  []string  `json:"local"` // directories
	Losses []Loss    `json:"losses"`
	live   []members // of groups
}

// Loss is a part of the results that the raw topics do not hold any more.
type Loss struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"` // -1: all
	Records   int64  `json:"records"`   // offsets that have expired; -1: not known
	What      string `json:"what"`
}

type members struct {
	group string
	names []string
}

// Empty reports whether there is nothing to delete.
func (p *Plan) Empty() bool { return len(p.Topics)+len(p.Groups)+len(p.Local) == 0 }

// ErrInUse is wrapped by the error that says which groups have members.
var ErrInUse = errors.New("in use")

// InUse returns an error that names the groups that have members, and the members.
func (p *Plan) InUse() error {
	if len(p.live) == 0 {
		return nil
	}
	var texts []string
	for _, m := range p.live {
		texts = append(texts, fmt.Sprintf("group %s has members %s", m.group, strings.Join(m.names, ", ")))
	}
	return fmt.Errorf("potok is %w: %s: stop every potok process and view first", ErrInUse, strings.Join(texts, "; "))
}

// deletable returns Potok's own topics in the order in which they are to be deleted.
func deletable(cfg topology.Config) (names []string, err error) {
	for _, kind := range []topology.Kind{topology.Stream, topology.Table, topology.DeadLetters} {
		for _, t := range cfg.Topics() {
			if t.Kind == kind {
				names = append(names, t.Name)
			}
		}
	}
	for _, raw := range []string{cfg.Names.Users, cfg.Names.Events} {
		if slices.Contains(names, raw) {
			return nil, fmt.Errorf("raw topic %s is called like one of Potok's own: check --prefix", raw)
		}
	}
	return names, nil
}

// Make finds out what there is to delete. It changes nothing.
func Make(ctx context.Context, o Options) (*Plan, error) {
	p := &Plan{Topics: []string{}, Groups: []string{}, Local: []string{}, Losses: []Loss{}}
	own, err := deletable(o.Topics)
	if err != nil {
		return nil, err
	}
	existing, err := kafka.Existing(ctx, o.Admin, append(slices.Clone(own), o.Topics.Names.Users, o.Topics.Names.Events)...)
	if err != nil {
		return nil, err
	}
	for _, name := range own {
		if existing.Has(name) {
			p.Topics = append(p.Topics, name)
		}
	}
	if err := o.findGroups(ctx, p); err != nil {
		return nil, err
	}
	for _, role := range []string{"process", "view"} {
		dir := filepath.Join(o.DataDir, role)
		if _, err := os.Stat(dir); err == nil {
			p.Local = append(p.Local, dir)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("look at --data-dir: %w", err)
		}
	}
	return p, o.findLosses(ctx, p, existing)
}

// findGroups adds those of the groups that exist, and their members.
func (o Options) findGroups(ctx context.Context, p *Plan) error {
	described, err := o.Admin.DescribeGroups(ctx, o.Topics.Names.Groups()...)
	if err != nil {
		return fmt.Errorf("describe groups: %w", err)
	}
	p.live = nil
	for _, name := range o.Topics.Names.Groups() {
		d, ok := described[name]
		switch {
		case !ok, errors.Is(d.Err, kerr.GroupIDNotFound):
			continue
		case d.Err != nil:
			return fmt.Errorf("describe group %s: %w", name, d.Err)
		case d.State == "Dead":
			continue // how brokers describe a group that there is not
		}
		if !slices.Contains(p.Groups, name) {
			p.Groups = append(p.Groups, name)
		}
		m := members{group: name}
		for _, member := range d.Members {
			switch {
			case member.InstanceID != nil && *member.InstanceID == o.Instance && o.Instance != "":
			case member.InstanceID != nil:
				m.names = append(m.names, fmt.Sprintf("%s at %s", *member.InstanceID, member.ClientHost))
			default:
				m.names = append(m.names, fmt.Sprintf("%s at %s", member.MemberID, member.ClientHost))
			}
		}
		if len(m.names) > 0 {
			p.live = append(p.live, m)
		}
	}
	return nil
}

// Await waits until the groups have no members, or for so long: an instance that has stopped stays a member until its
// session has timed out, so that it may come back. waiting is called once if there is something to wait for.
func Await(ctx context.Context, o Options, p *Plan, patience time.Duration, waiting func()) error {
	end := time.Now().Add(patience)
	for first := true; len(p.live) > 0 && time.Now().Before(end); first = false {
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
		if err := o.findGroups(ctx, p); err != nil {
			return err
		}
	}
	return p.InUse()
}

// Apply deletes what the plan says. deleted is called with each thing that is gone. Applying a plan again, or one whose
// things are gone, does no harm.
func Apply(ctx context.Context, o Options, p *Plan, deleted func(what string)) error {
	for _, group := range p.Groups {
		if err := o.deleteGroup(ctx, group); err != nil {
			return err
		}
		deleted("group " + group)
	}
	for _, topic := range p.Topics {
		if err := o.deleteTopic(ctx, topic); err != nil {
			return err
		}
		deleted("topic " + topic)
	}
	for _, dir := range p.Local {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("delete local state: %w", err)
		}
		deleted("directory " + dir)
	}
	return nil
}

func (o Options) deleteGroup(ctx context.Context, group string) error {
	if o.Instance != "" {
		// This directory's own process has stopped, and may still be a member. That it is none is as good.
		_, _ = o.Admin.LeaveGroup(ctx, kadm.LeaveGroup(group).Reason("potok reset").InstanceIDs(o.Instance))
	}
	end := time.Now().Add(goneAfter)
	for {
		_, err := o.Admin.DeleteGroup(ctx, group)
		switch {
		case err == nil, errors.Is(err, kerr.GroupIDNotFound):
			return nil
		case errors.Is(err, kerr.NonEmptyGroup):
			return fmt.Errorf("delete group %s: somebody has joined it meanwhile: stop every potok process, and reset again: %w", group, err)
		case !errors.Is(err, kerr.CoordinatorLoadInProgress) && !errors.Is(err, kerr.CoordinatorNotAvailable), time.Now().After(end):
			return fmt.Errorf("delete group %s: %w", group, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

// deleteTopic deletes a topic and waits until the brokers do not know it any more.
func (o Options) deleteTopic(ctx context.Context, topic string) error {
	if _, err := o.Admin.DeleteTopic(ctx, topic); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	end := time.Now().Add(goneAfter)
	for {
		existing, err := kafka.Existing(ctx, o.Admin, topic)
		if err != nil {
			return err
		}
		if !existing.Has(topic) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("delete topic %s: it is still there after %s: reset again later", topic, goneAfter)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}
