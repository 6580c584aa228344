package main

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// quantile returns the smallest of the sorted values that at least the share q of them does not exceed; zero of none.
func quantile[T any](sorted []T, q float64) (v T) {
	if len(sorted) == 0 {
		return v
	}
	// Of 1,000 values, 0.999 is to be the 999th and not, by a rounding error, the next.
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median returns the middle of the values, or the lower one of two.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return quantile(sorted, 0.5)
}

func medianOf[T cmp.Ordered](all []measurement, of func(measurement) T) T {
	values := make([]T, len(all))
	for i, m := range all {
		values[i] = of(m)
	}
	return median(values)
}

// spread is how a latency was distributed, in milliseconds.
type spread struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	P999    float64 `json:"p99_9_ms"`
	Max     float64 `json:"max_ms"`
}

func spreadOf(latencies []time.Duration) spread {
	sorted := slices.Clone(latencies)
	slices.Sort(sorted)
	at := func(q float64) float64 { return float64(quantile(sorted, q)) / float64(time.Millisecond) }
	return spread{Samples: len(sorted), P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1)}
}

// cells are for a table whose head has spreadHead.
func (s spread) cells() []string {
	return []string{thousands(int64(s.Samples)), decimal(s.P50), decimal(s.P99), decimal(s.P999), decimal(s.Max)}
}

func spreadHead() []string { return []string{"samples", "p50 ms", "p99 ms", "p99.9 ms", "max ms"} }
