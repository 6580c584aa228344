package views

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowMeter takes a second for a measurement.
type slowMeter struct {
	LagMeter
	measured, running atomic.Int32
	together          bool
}

func (m *slowMeter) Measure(ctx context.Context) (Lag, error) {
	m.measured.Add(1)
	m.together = m.running.Add(1) > 1 || m.together
	defer m.running.Add(-1)
	l := Lag{At: time.Now()}
	select {
	case <-time.After(time.Second):
		return l, nil
	case <-ctx.Done():
		return Lag{}, ctx.Err()
	}
}

// A hundred who ask within two seconds cost three measurements, one after the other; nobody's began before it was asked for, and that
// the first one leaves costs the others nothing.
func TestSharedMeasurements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := new(slowMeter)
		m := &measurements{meter: meter}
		impatient, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := m.measure(impatient); err == nil {
				t.Error("has waited")
			}
		})
		for range 100 {
			time.Sleep(19 * time.Millisecond)
			asking.Go(func() {
				asked := time.Now()
				l, err := m.measure(t.Context())
				if err != nil || l.At.Before(asked) {
					t.Errorf("asked at %v, measured at %v: %v", asked, l.At, err)
				}
				if took := time.Since(asked); took > 2*time.Second {
					t.Errorf("took %s", took)
				}
			})
		}
		asking.Wait()
		if n := meter.measured.Load(); n != 3 || meter.together {
			t.Errorf("%d measurements, at the same time: %t", n, meter.together)
		}
		before := time.Now()
		if l, err := m.measure(t.Context()); err != nil || l.At.Before(before) { // after a time when nobody asked
			t.Errorf("measured at %v, asked at %v: %v", l.At, before, err)
		}
		synctest.Wait()
	})
}

// A hundred requests for /v1/stats that come together cost the brokers few measurements.
func TestStatsShareMeasurements(t *testing.T) {
	f := newTables()
	meter := &slowMeter{LagMeter: f}
	_, base := serve(t, f, func(c *Config) { c.LagMeter = meter })
	var asking sync.WaitGroup
	for range 100 {
		asking.Go(func() { getJSON[Stats](t, base+"/v1/stats") })
	}
	asking.Wait()
	if n := meter.measured.Load(); n > 4 {
		t.Errorf("%d measurements", n)
	}
}
