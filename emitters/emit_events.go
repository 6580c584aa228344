package emitters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
)

const (
	// joinGrace is how long the consumer group may take to give us its partitions before idle exit calls it an error. A
	// member that died without leaving holds the group up for its session timeout.
	joinGrace = 60 * time.Second
	// skipLogEvery is the least time between two warnings about messages that are no users.
	skipLogEvery = 30 * time.Second
	// batchEvents bounds the events that are published between two commits, unless one user alone has more.
	batchEvents = 5000
	batchUsers  = 500
)

// EventsConfig says what [EmitEvents] reads and publishes. [DefaultEventsConfig] has the reference's numbers.
type EventsConfig struct {
	UsersTopic  string
	EventsTopic string
	Group       string
	Pages       int               // at least 1
	Min, Max    int               // events a user, 0 ≤ Min ≤ Max
	Seed        uint64            // what pages and events depend on
	IdleExit    time.Duration     // end when no user came for that long; 0: never; below a second it may miss users
	Print       func(line []byte) // called with the JSON of each acknowledged event, one at a time; may be nil; must not keep line
	Logger      *slog.Logger      // nil: silent
	Now         func() time.Time  // nil: time.Now; its zone is that of the time stamps
}

// DefaultEventsConfig is 1 to 10 events a user over 100 pages, read by group a. The topics are the caller's.
func DefaultEventsConfig() EventsConfig { return EventsConfig{Group: "a", Pages: 100, Min: 1, Max: 10} }

// Validate reports everything that is wrong at once.
func (c EventsConfig) Validate() error {
	var errs []error
	if c.UsersTopic == "" {
		errs = append(errs, errors.New("no topic to read users from"))
	}
	if c.EventsTopic == "" {
		errs = append(errs, errors.New("no topic for events"))
	}
	if c.UsersTopic == c.EventsTopic && c.UsersTopic != "" {
		errs = append(errs, fmt.Errorf("users and events are both on topic %s", c.UsersTopic)) // it would feed itself for ever
	}
	if c.Group == "" {
		errs = append(errs, errors.New("no consumer group"))
	}
	if c.Pages < 1 || c.Pages > 1_000_000 {
		errs = append(errs, fmt.Errorf("count of pages %d is not within 1 and 1000000", c.Pages))
	}
	if c.Min < 0 || c.Max < c.Min || c.Max > 1_000_000 {
		errs = append(errs, fmt.Errorf("events a user from %d to %d are no range within 0 and 1000000", c.Min, c.Max))
	}
	if c.IdleExit < 0 {
		errs = append(errs, fmt.Errorf("idle exit %v is negative", c.IdleExit))
	}
	return errors.Join(errs...)
}

// EventsStats says what a run of [EmitEvents] did.
type EventsStats struct {
	Users     int // users whose events are acknowledged
	Skipped   int // messages that were no user
	Published int // events acknowledged by the brokers
}

// EmitEvents reads users, from the earliest on if the group is new, and publishes events for each at once, until ctx ends
// or no user came for cfg.IdleExit, both of which are a clean end: nil. The idle time starts when the group has assigned
// us partitions; a group that does not within a minute is an error then. An event that can't be published ends the run
// with an error that names topic and partition, and its user is not committed.
//
// A message is a user if it is a JSON object with a string user_id; others are skipped, counted and, now and then,
// logged. For what is delivered how often see the package's documentation.
func EmitEvents(ctx context.Context, cfg EventsConfig, conn kafka.Config) (EventsStats, error) {
	if err := cfg.Validate(); err != nil {
		return EventsStats{}, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	out, stop := outlive(ctx, stopGrace)
	defer stop()
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	e := eventsRun{cfg: cfg, out: out, events: NewEventGenerator(cfg.Seed, cfg.Pages, cfg.Min, cfg.Max, cfg.Now)}
	client, err := e.client(conn)
	if err != nil {
		return EventsStats{}, err
	}
	e.kafka = client
	e.publisher = publisher{producer: client, topic: cfg.EventsTopic, print: cfg.Print, cancel: cancel}
	err = e.consume(run)
	e.stats.Published = e.publisher.close()
	e.leave()
	return e.stats, err
}

// eventsRun is one call of EmitEvents.
type eventsRun struct {
	cfg       EventsConfig
	out       context.Context // for what has to be finished while stopping
	kafka     *kgo.Client
	events    *EventGenerator
	publisher publisher
	stats     EventsStats

	assigned    atomic.Pointer[time.Time] // when the group last assigned partitions; nil: not yet
	loggedSkips int
	loggedAt    time.Time
}

func (e *eventsRun) client(conn kafka.Config) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(e.cfg.Group),
		kgo.ConsumeTopics(e.cfg.UsersTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A fetch without data holds up partitions whose offset was found a moment later, for as long as it waits: with
		// franz-go's five seconds, idle exit could come before the first look at them.
		kgo.FetchMaxWait(e.fetchWait()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // partitions stay ours until their batch is committed
		// kafka-python's own choice, so that the reference program can be in the group at the same time.
		kgo.Balancers(kgo.RangeBalancer(), kgo.RoundRobinBalancer()),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			now := time.Now()
			e.assigned.Store(&now)
		}),
	}
	if conn.SessionTimeout > 0 {
		opts = append(opts, kgo.SessionTimeout(conn.SessionTimeout), kgo.HeartbeatInterval(conn.SessionTimeout/3))
	}
	return conn.Client(opts...)
}

// fetchWait is how long the broker may think about a fetch: well below the idle time.
func (e *eventsRun) fetchWait() time.Duration {
	const usual = 500 * time.Millisecond
	if e.cfg.IdleExit == 0 {
		return usual
	}
	return max(10*time.Millisecond, min(usual, e.cfg.IdleExit/5))
}

func (e *eventsRun) consume(ctx context.Context) error {
	started := time.Now()
	lastUser := started
	batch := max(1, min(batchUsers, batchEvents/max(1, e.cfg.Max)))
	for {
		records, err := e.poll(ctx, batch)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil // what was just polled is not committed, and read again by the next run
		}
		users := e.stats.Users
		if err := e.process(records); err != nil {
			return err
		}
		e.kafka.AllowRebalance()
		if e.cfg.IdleExit == 0 {
			continue
		}

		now := time.Now()
		if e.stats.Users > users {
			lastUser = now
		}
		assigned := e.assigned.Load()
		switch {
		case assigned == nil && now.Sub(started) > joinGrace:
			return fmt.Errorf("consumer group %s assigned no partition of topic %s within %v", e.cfg.Group, e.cfg.UsersTopic, joinGrace)
		case assigned != nil && min(now.Sub(lastUser), now.Sub(*assigned)) >= e.cfg.IdleExit:
			return nil
		}
	}
}

// poll waits for records, with idle exit only for a moment. Errors that may pass are logged.
func (e *eventsRun) poll(ctx context.Context, limit int) ([]*kgo.Record, error) {
	if e.cfg.IdleExit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.fetchWait())
		defer cancel()
	}
	fetches := e.kafka.PollRecords(ctx, limit)
	for _, f := range fetches.Errors() {
		switch {
		case ctx.Err() != nil && errors.Is(f.Err, ctx.Err()): // the end of the wait, not an error
		case permanent(f.Err):
			return nil, fmt.Errorf("read topic %s with group %s: %w", e.cfg.UsersTopic, e.cfg.Group, f.Err)
		default:
			e.cfg.Logger.Warn("cannot read users, trying on", "topic", e.cfg.UsersTopic, "partition", f.Partition, "error", f.Err)
		}
	}
	return fetches.Records(), nil
}

// process publishes the events of a batch, waits for all of them, and commits the batch.
func (e *eventsRun) process(records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	users := 0
	for _, r := range records {
		if e.publisher.failed() {
			break // the run has failed; nothing of this batch will be committed
		}
		user, ok := decodeUser(r.Value)
		if !ok {
			e.skip(r)
			continue
		}
		users++
		for _, event := range e.events.Next(user) {
			e.publisher.publish(e.out, event.AppendJSON(nil))
		}
	}
	if err := e.publisher.flush(e.out); err != nil {
		return err
	}
	e.stats.Users += users
	switch err := e.kafka.CommitRecords(e.out, records...); {
	case err == nil:
	case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.RebalanceInProgress):
		// We were too slow for the group. Whoever has the partitions now makes these events again.
		e.cfg.Logger.Warn("lost partitions before the commit, some events will come twice", "group", e.cfg.Group, "error", err)
	default:
		return fmt.Errorf("commit offsets of topic %s for group %s: %w", e.cfg.UsersTopic, e.cfg.Group, err)
	}
	return nil
}

func (e *eventsRun) skip(r *kgo.Record) {
	e.stats.Skipped++
	if time.Since(e.loggedAt) < skipLogEvery {
		return
	}
	e.cfg.Logger.Warn("skipped messages that are no users", "skipped", e.stats.Skipped-e.loggedSkips,
		"last_topic", r.Topic, "last_partition", r.Partition, "last_offset", r.Offset)
	e.loggedAt, e.loggedSkips = time.Now(), e.stats.Skipped
}

// leave leaves the group, so that the others need not wait for our session to time out, and closes the client.
func (e *eventsRun) leave() {
	e.kafka.AllowRebalance()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.out), stopGrace/2)
	defer cancel()
	if err := e.kafka.LeaveGroupContext(ctx); err != nil {
		e.cfg.Logger.Warn("cannot leave the consumer group", "group", e.cfg.Group, "error", err)
	}
	e.kafka.CloseAllowingRebalance()
}

// permanent tells errors that no waiting mends. Everything else that a poll reports passes by itself: franz-go tries on.
func permanent(err error) bool {
	for _, target := range []error{
		kgo.ErrClientClosed,
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.InvalidGroupID, kerr.InconsistentGroupProtocol, kerr.InvalidSessionTimeout, kerr.InvalidTopicException,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// decodeUser reads leniently: only the id must be there and a string. Names of fields count as they are written (unlike
// encoding/json's way with structs), and of a field given twice the last counts.
func decodeUser(value []byte) (User, bool) {
	var fields map[string]any
	if json.Unmarshal(value, &fields) != nil {
		return User{}, false
	}
	var u User
	var ok bool
	u.UserID, ok = fields["user_id"].(string)
	u.Email, _ = fields["email"].(string)
	u.Name, _ = fields["name"].(string)
	return u, ok
}
