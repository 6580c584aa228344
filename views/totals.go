package views

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/potok-streams/potok/codecs"
)

// errUnmeasured means that the brokers did not answer.
var errUnmeasured = errors.New("the brokers do not answer: lag cannot be measured")

// statsTimeout bounds a measurement for /v1/stats, and how long a request waits for one, and for the one that was going on before.
const statsTimeout = 10 * time.Second

// EventTypes is the body of /v1/event-types: result B.
type EventTypes struct {
	EventTypes []EventType `json:"event_types" nullable:"false"`
	Total      uint64      `json:"total"`
}

type eventTypesInput struct {
	Marks       string `query:"marks" enum:"1" doc:"1: with the rows' marks"`
	IfNoneMatch string `header:"If-None-Match"`
}

func (s *Server) listEventTypes(_ context.Context, in *eventTypesInput) (*reply[EventTypes], error) {
	rows, total, version := s.cfg.Index.eventTypes(in.Marks != "")
	out, err := ok(EventTypes{EventTypes: rows, Total: total}, nil)
	if in.Marks == "" { // marks can move while counts stay
		out.CacheControl = "no-cache"
		out.ETag = fmt.Sprintf(`W/"%s-%d"`, s.cfg.Index.epoch, version)
		if notModified(in.IfNoneMatch, out.ETag) {
			out.Status = http.StatusNotModified // has the same headers, and no body
		}
	}
	return out, err
}

// Stats is the body of /v1/stats.
type Stats struct {
	UsersKnown           int             `json:"users_known" doc:"Users published"`
	UsersWithEvents      int             `json:"users_with_events" doc:"Known users with events: the rows of result A"`
	EventsCounted        uint64          `json:"events_counted" doc:"Valid events, of known and unknown users"`
	EventsOfUnknownUsers uint64          `json:"events_of_unknown_users"`
	MessagesRejected     uint64          `json:"messages_rejected" doc:"Raw records that are not valid, each counted once"`
	Lost                 uint64          `json:"lost" doc:"Raw records that expired before they were read"`
	Rejected             []RejectedCount `json:"rejected" nullable:"false" doc:"messages_rejected by topic and reason"`
	Partitions           []Partition     `json:"partitions" nullable:"false" doc:"Of the raw topics"`
}

// RejectedCount is how many records of a raw topic were rejected for a reason.
type RejectedCount struct {
	Topic  string `json:"topic"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// statsReply has the lag of the measurement made for it.
type statsReply struct {
	Lag     string `header:"Potok-Lag"`
	LagTime string `header:"Potok-Lag-Time"`
	Body    Stats
}

func (s *Server) getStats(ctx context.Context, _ *struct{}) (*statsReply, error) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	lag, err := s.measurements.measure(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnmeasured, err)
	}
	x := s.cfg.Index
	_, total, _ := x.eventTypes(false)
	sizes := x.Sizes()
	stats := Stats{
		UsersKnown:           sizes.Known,
		UsersWithEvents:      sizes.Complete,
		EventsCounted:        total,
		EventsOfUnknownUsers: sizes.EventsOfUnknown,
		Rejected:             []RejectedCount{},
		Partitions:           append([]Partition{}, lag.Partitions...),
	}
	for _, c := range x.ownCounts() {
		switch c.Kind {
		case codecs.Rejected:
			stats.MessagesRejected += c.Count
			stats.Rejected = append(stats.Rejected, RejectedCount{Topic: c.Topic, Reason: string(c.Reason), Count: c.Count})
		case codecs.Lost:
			stats.Lost += c.Count
		}
	}
	h := make(http.Header)
	setLag(h, lag)
	return &statsReply{Lag: h.Get(lagHeader), LagTime: h.Get(lagTimeHeader), Body: stats}, nil
}

// ThroughputPoints is the body of /v1/throughput.
type ThroughputPoints struct {
	Topics []TopicPoints `json:"topics" nullable:"false"`
}

func (s *Server) getThroughput(context.Context, *struct{}) (*reply[ThroughputPoints], error) {
	return ok(ThroughputPoints{Topics: s.throughput.Points()}, nil)
}

// Health is the body of /healthz.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

func (s *Server) getHealth(context.Context, *struct{}) (*reply[Health], error) {
	return ok(Health{Status: "ok"}, nil)
}

// ReadinessState is the body of /readyz.
type ReadinessState struct {
	Ready  bool `json:"ready"`
	Detail any  `json:"detail,omitempty" doc:"Progress by table and partition; stages that fail, with reasons"`
}

func (s *Server) getReadiness(context.Context, *struct{}) (*reply[ReadinessState], error) {
	ready, detail := s.cfg.Readiness.Ready()
	out, err := ok(ReadinessState{Ready: ready, Detail: detail}, nil)
	if !ready {
		out.Status = http.StatusServiceUnavailable
	}
	return out, err
}

func contentTag(b []byte) string {
	sum := sha256.Sum256(b)
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}
