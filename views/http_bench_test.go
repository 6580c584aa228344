package views

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkServe is what an answer costs, without the connection.
func BenchmarkServe(b *testing.B) {
	tables := newTables()
	tables.index = benchIndex(100_000)
	s, err := NewServer(Config{Index: tables.index, Lookup: tables.get, LagMeter: tables, Readiness: tables, Registry: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	id, _ := benchUser(777, 1)
	for _, path := range []string{"/v1/users/" + id, "/v1/users", "/v1/users?sort=name", "/v1/event-types"} {
		b.Run(fmt.Sprint(len(path), path[:9]), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
