package views

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// broken panics where every answer under /v1 begins.
type broken struct{ *fakeTables }

func (broken) Restored() bool { panic("broken") }

// Every error that the description has for a path can be provoked there, and is a problem document.
func TestDocumentedErrors(t *testing.T) {
	f, down, bad := newTables(), newTables(), newTables()
	down.unready = true
	_, open := serve(t, f, nil)
	_, closed := serve(t, f, func(c *Config) { c.AuthToken = "s3cret" })
	_, restoring := serve(t, down, nil)
	_, panics := serve(t, bad, func(c *Config) { c.Readiness = broken{bad} })
	provoke := map[string]struct{ base, query string }{
		"400": {open, "?%zz"}, "401": {closed, ""}, "404": {open, ""}, "422": {open, "?marks=2&limit=x&snapshot=some"}, "500": {panics, ""}, "503": {restoring, ""},
	}
	_, spec := fetch(t, "GET", closed+"/openapi.json", "Authorization", "Bearer s3cret")
	var doc struct {
		Paths map[string]struct {
			Get struct {
				Responses map[string]struct{ Content map[string]any }
			}
		}
	}
	if err := json.Unmarshal([]byte(spec), &doc); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for path, item := range doc.Paths {
		for status, r := range item.Get.Responses {
			if status < "400" || path == "/readyz" && status == "503" { // that one has the progress
				continue
			}
			t.Run(path+" "+status, func(t *testing.T) {
				if len(r.Content) != 1 || r.Content["application/problem+json"] == nil {
					t.Errorf("described with %v", r.Content)
				}
				if status == "default" {
					resp, body := fetch(t, "POST", open+path)
					checkProblem(t, resp, body, 405)
					return
				}
				how, ok := provoke[status]
				if !ok {
					t.Fatal("nobody knows how to provoke it")
				}
				resp, body := fetch(t, "GET", how.base+strings.ReplaceAll(path, "{user_id}", "nobody")+how.query)
				code, err := strconv.Atoi(status)
				if err != nil {
					t.Fatal(err)
				}
				checkProblem(t, resp, body, code)
			})
			seen = append(seen, status)
		}
	}
	for status := range provoke {
		if !slices.Contains(seen, status) {
			t.Errorf("%s is described nowhere", status)
		}
	}
}
