package tracing

import (
	"strings"
	"testing"
)

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	const byDefault = "ParentBased{root:TraceIDRatioBased{0.001}"
	for name, tc := range map[string]struct {
		env      string // NAME=value, separated by blanks
		on       bool
		endpoint string
		sampler  string // how its description starts
		err      string
	}{
		"nothing":              {},
		"a sampler alone":      {env: "OTEL_TRACES_SAMPLER=always_on"},
		"an endpoint":          {env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", on: true, endpoint: "http://c:4318/v1/traces", sampler: byDefault},
		"an endpoint's path":   {env: "OTEL_EXPORTER_OTLP_ENDPOINT=https://c/otlp/", on: true, endpoint: "https://c/otlp/v1/traces", sampler: byDefault},
		"one for traces":       {env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t/x", on: true, endpoint: "http://t/x", sampler: byDefault},
		"the exporter alone":   {env: "OTEL_TRACES_EXPORTER=otlp", on: true, sampler: byDefault},
		"no exporter":          {env: "OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://c"},
		"disabled":             {env: "OTEL_SDK_DISABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://c"},
		"another exporter":     {env: "OTEL_TRACES_EXPORTER=zipkin", err: "OTEL_TRACES_EXPORTER"},
		"gRPC":                 {env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_PROTOCOL=grpc", err: "grpc"},
		"HTTP for traces":      {env: "OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf", on: true, sampler: byDefault},
		"not a URL":            {env: "OTEL_EXPORTER_OTLP_ENDPOINT=c:4318", err: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"a share":              {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER_ARG=0.25", on: true, sampler: "ParentBased{root:TraceIDRatioBased{0.25}"},
		"a share of all":       {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.5", on: true, sampler: "TraceIDRatioBased{0.5}"},
		"the standard's share": {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=traceidratio", on: true, sampler: "TraceIDRatioBased{1}"},
		"always on":            {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=always_on OTEL_TRACES_SAMPLER_ARG=x", on: true, sampler: "AlwaysOnSampler"},
		"always off":           {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=always_off", on: true, sampler: "AlwaysOffSampler"},
		"the producers' all":   {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=parentbased_always_on", on: true, sampler: "ParentBased{root:AlwaysOnSampler"},
		"the producers' only":  {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=parentbased_always_off", on: true, sampler: "ParentBased{root:AlwaysOffSampler"},
		"another sampler":      {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=jaeger_remote", err: "OTEL_TRACES_SAMPLER"},
		"more than all":        {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER_ARG=1.5", err: "OTEL_TRACES_SAMPLER_ARG"},
		"no number":            {env: "OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER_ARG=NaN", err: "OTEL_TRACES_SAMPLER_ARG"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{}
			for _, set := range strings.Fields(tc.env) {
				key, value, _ := strings.Cut(set, "=")
				env[key] = value
			}
			c, err := FromEnvironment(func(key string) string { return env[key] })
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || c.On {
					t.Fatalf("got %+v, %v", c, err)
				}
				return
			}
			if err != nil || c.On != tc.on || c.Endpoint != tc.endpoint {
				t.Fatalf("got %+v, %v", c, err)
			}
			if tc.on && !strings.HasPrefix(c.Sampler.Description(), tc.sampler) {
				t.Errorf("sampler %s", c.Sampler.Description())
			}
		})
	}
}
