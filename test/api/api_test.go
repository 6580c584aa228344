// Package api holds what a running Potok answers against its own description, /openapi.json.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/views"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew; clients rely on it, so look at the difference")

// TestDescription holds the description that a view serves against the one that is checked in, so that no change of the API
// goes unseen. The version is the build's.
func TestDescription(t *testing.T) {
	t.Parallel()
	const file = "../../docs/openapi.json"
	s, err := views.NewServer(views.Config{
		Index: views.NewIndex(), Registry: prometheus.NewRegistry(), Version: "VERSION", RawTopics: [2]string{"users", "events"},
		Lookup: func(string) (*codecs.Activity, error) { return nil, nil }, LagMeter: nothing{}, Readiness: nothing{},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	var got bytes.Buffer
	if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("docs/openapi.json is not what is served; go test ./test/api -update writes it (-want +got):\n%s", diff)
	}
}

// nothing is what a view has before it has anything.
type nothing struct{}

func (nothing) Latest() views.Lag                          { return views.Lag{} }
func (nothing) Measure(context.Context) (views.Lag, error) { return views.Lag{}, nil }
func (nothing) Restored() bool                             { return false }
func (nothing) Ready() (ok bool, detail any)               { return false, nil }

// schemathesis asks everything that the description allows, and much that it does not. It leaves out the stream, which can be
// silent for longer than it waits and never ends; [stream], [problems] and views' FuzzStreamQuestion ask for that.
func schemathesis(t *testing.T, p *instances) {
	absolute := func(path string) string {
		path, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tc := range map[string]struct {
		config string
		args   []string
	}{
		"everything": {"schemathesis.toml", []string{p.open + "/openapi.json"}},
		"first page": {"first-page.toml", []string{p.open + "/openapi.json", "--include-operation-id", "list-users"}},
		"with token": {"schemathesis.toml", []string{p.closed + "/openapi.json", "--header", "Authorization: Bearer " + token}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := absolute(filepath.Join("../../.artifacts/api", strings.ReplaceAll(name, " ", "-")))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"--config-file", absolute(tc.config), "run"}, tc.args...)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, absolute("../../.venv/bin/schemathesis"),
				append(args, "--exclude-path", "/v1/stream", "--checks", "all", "--no-color", "--continue-on-failure", "--report", "junit", "--report-dir", dir)...)
			cmd.Dir = dir // it leaves files where it runs
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			} else if _, summary, ok := bytes.Cut(out, []byte("= SUMMARY =")); !ok || !bytes.Contains(summary, []byte("Tested: ")) {
				t.Errorf("nothing was tested:\n%s", out)
			} else {
				t.Logf("%s", bytes.TrimLeft(summary, "=\n"))
			}
		})
	}
}
