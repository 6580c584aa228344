package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// description is what these tests use of /openapi.json.
type description struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				}
			}
			Events map[string]json.RawMessage `json:"x-events"`
		}
	}
	schemas *jsonschema.Compiler
}

func (p *instances) description(t *testing.T) (d description) {
	t.Helper()
	_, body, err := p.ask(t, http.MethodGet, p.open+"/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	d.schemas = jsonschema.NewCompiler()
	d.schemas.DefaultDraft(jsonschema.Draft2020)
	d.schemas.AssertFormat()
	if err := d.schemas.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return d
}

// valid holds a value against a schema of the description.
func (d description) valid(t *testing.T, ref string, value []byte) {
	t.Helper()
	schema, err := d.schemas.Compile("openapi.json" + ref)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%v: %.1000s", err, value)
	}
}

const problemRef = "#/components/schemas/ErrorModel"

// problems provokes what can be provoked from outside of the errors that the description lists. All are problem documents
// (RFC 9457), here and in the description.
func problems(t *testing.T, p *instances) {
	d := p.description(t)
	for path, methods := range d.Paths {
		for method, op := range methods {
			for status, r := range op.Responses {
				if status < "400" || path == "/readyz" && status == "503" { // that one has the progress
					continue
				}
				if content, ok := r.Content["application/problem+json"]; !ok || len(r.Content) != 1 || content.Schema.Ref != problemRef {
					t.Errorf("%s %s is described to answer %s with %v", method, path, status, r.Content)
				}
			}
		}
	}
	check := func(t *testing.T, method, url string, status int, header ...string) {
		t.Helper()
		resp, body, err := p.ask(t, method, url, header...)
		if err != nil {
			t.Error(err)
			return
		}
		if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s, want %d: %s", method, url, resp.StatusCode, resp.Header.Get("Content-Type"), status, body)
			return
		}
		d.valid(t, problemRef, body)
		var problem struct {
			Title, Detail string
			Status        int
		}
		if err := json.Unmarshal(body, &problem); err != nil || problem.Status != status || problem.Title != http.StatusText(status) || problem.Detail == "" {
			t.Errorf("%s %s: %v: %s", method, url, err, body)
		}
	}
	for path, status := range map[string]int{
		"/v1/users?cursor=x": 400, "/v1/users?limit=1&limit=2": 400, "/v1/users?q=%ff": 400, "/v1/users?sort=": 400, "/v1/stats?%zz": 400,
		"/v1/users?limit=0": 422, "/v1/users?limit=x": 422, "/v1/users?sort=email": 422, "/v1/users?q=" + strings.Repeat("x", 1001): 422, "/v1/stream?snapshot=some": 422, "/v1/stream?rows=all": 422,
		"/v1/stream?snapshot=": 400, "/v1/stream?rows=none&rows=none": 400, "/v1/stream?last_event_id=%ff": 400, "/v1/stream?%zz": 400,
		"/v1/users/nobody": 404, "/v1/users/a/b": 404, "/v1": 404, "/v1/": 404, "/v2/users": 404, "/v1/users/%2E%2E/%2E": 404,
	} {
		check(t, http.MethodGet, p.open+path, status)
	}
	for path := range d.Paths {
		path = strings.ReplaceAll(path, "{user_id}", "u1")
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, "PURGE"} {
			check(t, method, p.open+path, 405)
		}
		if path != "/" && path != "/healthz" && path != "/readyz" {
			check(t, http.MethodGet, p.closed+path, 401)
			check(t, http.MethodGet, p.closed+path, 401, "Authorization", "Bearer wrong")
		}
	}
	p.endBroker()
	check(t, http.MethodGet, p.open+"/v1/stats", 503)
}

// stream reads both kinds of events as they are described.
func stream(t *testing.T, p *instances) {
	d := p.description(t)
	events := d.Paths["/v1/stream"]["get"].Responses["200"].Events
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.open+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Potok-Lag") == "" {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	seen, name := map[string]bool{}, ""
	lines := bufio.NewReader(resp.Body) // a line can be long
	for len(seen) < 2 {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "event":
			name = value
		case "data":
			var schema struct {
				Ref string `json:"$ref"`
			}
			if err := json.Unmarshal(events[name], &schema); err != nil || schema.Ref == "" {
				t.Fatal(fmt.Errorf("event %q is not described: %w", name, err))
			}
			d.valid(t, schema.Ref, []byte(value))
			seen[name] = true
		}
	}
}
