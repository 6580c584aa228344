package views

import (
	"math"
	"sync"
	"time"
)

const (
	throughputPoints = 900 // 15 minutes, a point a second
	// maxGap is how long without a measurement growth is still spread over the seconds in between.
	maxGap = 60
)

// Point is one second of a raw topic.
type Point struct {
	Time      time.Time `json:"time"`
	Published int64     `json:"published" doc:"Records published in this second"`
	Consumed  int64     `json:"consumed" doc:"Records consumed in this second"`
	Lag       int64     `json:"lag" doc:"Records not consumed at its end"`
}

// Throughput keeps the last 15 minutes of each raw topic.
type Throughput struct {
	mu     sync.Mutex
	topics []*series
	at     time.Time // of the latest sample
}

type series struct {
	topic  string
	before map[int32]Partition
	points []Point // oldest first
}

// NewThroughput keeps points of these topics.
func NewThroughput(topics ...string) *Throughput {
	t := new(Throughput)
	for _, name := range topics {
		t.topics = append(t.topics, &series{topic: name, before: make(map[int32]Partition)})
	}
	return t
}

// Sample adds what happened since the sample before. A measurement that is not newer adds nothing: there is a gap then.
func (t *Throughput) Sample(l Lag) {
	t.mu.Lock()
	defer t.mu.Unlock()
	second := l.At.UTC().Truncate(time.Second)
	if l.At.IsZero() || !second.After(t.at) {
		return
	}
	seconds := int64(1)
	if !t.at.IsZero() {
		seconds = min(int64(math.Round(second.Sub(t.at).Seconds())), maxGap)
	}
	for _, s := range t.topics {
		s.sample(second, seconds, l.Partitions, t.at.IsZero())
	}
	t.at = second
}

func (s *series) sample(second time.Time, seconds int64, partitions []Partition, first bool) {
	var published, consumed, lag int64
	for _, p := range partitions {
		if p.Topic != s.topic {
			continue
		}
		lag += p.Lag
		before, known := s.before[p.Partition]
		if known || !first { // a partition that was added began at nothing
			published += max(0, p.End-before.End) // less than before: a topic made anew
			consumed += max(0, p.Position-before.Position)
		}
		s.before[p.Partition] = p
	}
	for i := range seconds {
		left := seconds - i
		point := Point{Time: second.Add(-time.Duration(left-1) * time.Second), Published: published / left, Consumed: consumed / left, Lag: lag}
		published -= point.Published
		consumed -= point.Consumed
		s.points = append(s.points, point)
	}
	if n := len(s.points); n >= 2*throughputPoints {
		s.points = append(s.points[:0], s.points[n-throughputPoints:]...)
	}
}

// TopicPoints is one raw topic's last 15 minutes.
type TopicPoints struct {
	Topic  string  `json:"topic"`
	Points []Point `json:"points" nullable:"false" doc:"Oldest first; seconds without a measurement are left out"`
}

// Points returns a copy of what is kept.
func (t *Throughput) Points() []TopicPoints {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]TopicPoints, len(t.topics))
	for i, s := range t.topics {
		points := s.points[max(0, len(s.points)-throughputPoints):]
		out[i] = TopicPoints{Topic: s.topic, Points: append([]Point{}, points...)}
	}
	return out
}
