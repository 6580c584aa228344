package kafka

import (
	"reflect"

	"github.com/rcrowley/go-metrics"
)

// unmeasured is a registry that registers nothing and hands out metrics that do nothing. sarama updates dozens of them with every
// fetch, under locks; nobody reads them, and Potok has its own. What is left is a meter for each topic in the package's own
// registry, which sarama marks with every fetch before it knows of ours.
type unmeasured struct {
	metrics.Registry // an empty one, for what there is to ask of one
}

func newUnmeasured() metrics.Registry { return unmeasured{metrics.NewRegistry()} }

// Register implements metrics.Registry.
func (unmeasured) Register(string, any) error { return nil }

// GetOrRegister implements metrics.Registry. Callers assert the type that they asked for, by a value or by what makes one.
func (unmeasured) GetOrRegister(_ string, metric any) any {
	switch metric.(type) {
	case metrics.Counter, func() metrics.Counter:
		return metrics.NilCounter{}
	case metrics.Gauge, func() metrics.Gauge:
		return metrics.NilGauge{}
	case metrics.GaugeFloat64, func() metrics.GaugeFloat64:
		return metrics.NilGaugeFloat64{}
	case metrics.Histogram, func() metrics.Histogram:
		return metrics.NilHistogram{}
	case metrics.Meter, func() metrics.Meter:
		return metrics.NilMeter{}
	case metrics.Timer, func() metrics.Timer:
		return metrics.NilTimer{}
	}
	// Of a kind that is not known here: the caller gets it as from any registry.
	if v := reflect.ValueOf(metric); v.Kind() == reflect.Func {
		return v.Call(nil)[0].Interface()
	}
	return metric
}
