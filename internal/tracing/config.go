package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Config is what of the OTEL_* environment Potok itself looks at.
type Config struct {
	On       bool
	Endpoint string // URL that takes the spans; empty: the exporter's own default
	Sampler  sdktrace.Sampler
}

// defaultRatio is the share of the raw records without a trace that start one, when the environment does not say. The SDK's own
// default is all of them, which is for programs that get a request now and then.
const defaultRatio = 0.001

// FromEnvironment reads the settings by OpenTelemetry's names. Tracing is on when there is somewhere to deliver to.
func FromEnvironment(getenv func(string) string) (Config, error) {
	var c Config
	if disabled, _ := strconv.ParseBool(getenv("OTEL_SDK_DISABLED")); disabled {
		return c, nil
	}
	endpoint, err := endpointOf(getenv)
	if err != nil {
		return c, err
	}
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return c, nil
	case "otlp":
	case "":
		if endpoint == "" {
			return c, nil
		}
	default:
		return c, fmt.Errorf("OTEL_TRACES_EXPORTER %q: use otlp or none", exporter)
	}
	if protocol := either(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol == "grpc" {
		return c, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL grpc: use http/protobuf, and the collector's port for it, 4318 as a rule")
	}
	sampler, err := samplerOf(getenv("OTEL_TRACES_SAMPLER"), getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return c, err
	}
	return Config{On: true, Endpoint: endpoint, Sampler: sampler}, nil
}

// endpointOf returns the URL for spans: one of their own as it is, or what all of OpenTelemetry's signals have in common with
// the path for them.
func endpointOf(getenv func(string) string) (string, error) {
	name := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	endpoint := getenv(name)
	if endpoint == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
		if endpoint = getenv(name); endpoint == "" {
			return "", nil
		}
		endpoint = strings.TrimSuffix(endpoint, "/") + "/v1/traces"
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%s: not an http or https URL", name) // may hold a password: not repeated
	}
	return endpoint, nil
}

func samplerOf(name, arg string) (sdktrace.Sampler, error) {
	ratio := 1.0
	if name == "" {
		name, ratio = "parentbased_traceidratio", defaultRatio
	}
	if arg != "" && strings.HasSuffix(name, "traceidratio") {
		r, err := strconv.ParseFloat(arg, 64)
		if err != nil || !(r >= 0 && r <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG %q: give a number from 0 to 1", arg)
		}
		ratio = r
	}
	switch name {
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(ratio), nil
	case "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)), nil
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER %q: use always_on, always_off, traceidratio, or one of these with parentbased_ before it", name)
}

func either(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return ""
}
