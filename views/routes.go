package views

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/potok-streams/potok/views/page"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes says what there is.
func (s *Server) routes() error {
	if err := s.use(); err != nil {
		return err
	}
	s.mux.NotFound(notFound)
	api := s.newAPI()
	s.api = api

	get(s, api, "/v1/users", "list-users", "Users with their event counts", s.listUsers, http.StatusBadRequest)
	get(s, api, "/v1/users/", "get-user-with-empty-id", "The user whose id is empty", s.getEmptyUser, http.StatusNotFound)
	get(s, api, "/v1/users/{user_id}", "get-user", "One user", s.getUser, http.StatusNotFound)
	get(s, api, "/v1/event-types", "list-event-types", "Event types with their counts, largest first", s.listEventTypes, http.StatusNotModified)
	get(s, api, "/v1/stats", "get-stats", "Totals, and how far the raw topics are read; measures anew", s.getStats)
	get(s, api, "/v1/throughput", "get-throughput", "The raw topics' last 15 minutes, a point a second", s.getThroughput)
	s.streamRoute(api)
	get(s, api, "/healthz", "health", "The process is alive", s.getHealth)
	get(s, api, "/readyz", "readiness", "The tables are restored", s.getReadiness)

	s.mux.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{DisableCompression: true}))
	document(api, "/metrics", "metrics", "Prometheus metrics", "text/plain")
	document(api, "/", "page", "The page", "text/html", http.StatusNotModified)
	document(api, "/openapi.json", "openapi", "This document", "application/json", http.StatusNotModified)
	finish(api.OpenAPI(), s.cfg.AuthToken != "")

	spec, err := api.OpenAPI().MarshalJSON()
	if err != nil {
		return err
	}
	s.mux.Method(http.MethodGet, "/openapi.json", newAsset("application/json", spec, dataCSP))
	return page.Each(func(name, contentType string, content []byte) {
		path := assetsPath + name
		if name == page.Index {
			path = "/"
		}
		s.mux.Method(http.MethodGet, path, newAsset(contentType, content, pageCSP))
	})
}

func (s *Server) newAPI() huma.API {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	format := huma.DefaultJSONFormat
	format.Marshal = func(w io.Writer, v any) error {
		if r, ok := v.(interface{ text() []byte }); ok {
			_, err := w.Write(r.text())
			return err
		}
		return huma.DefaultJSONFormat.Marshal(w, v)
	}
	return humachi.New(s.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "Potok", Version: s.cfg.Version, Description: "What the users did: results of a Kafka stream, current at any moment."},
			Components: &huma.Components{Schemas: registry},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
	})
}

// reply is an answer in JSON.
type reply[T any] struct {
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Status       int
	Body         T
}

func ok[T any](body T, err error) (*reply[T], error) {
	return &reply[T]{CacheControl: "no-store", Status: http.StatusOK, Body: body}, err
}

// get registers an endpoint: its parameters are in I, its answer in O, its other statuses are listed.
func get[I, O any](s *Server, api huma.API, path, id, summary string, answer func(context.Context, *I) (*O, error), statuses ...int) {
	huma.Register(api, s.operation(path, id, summary, statuses...), func(ctx context.Context, in *I) (*O, error) {
		out, err := answer(ctx, in)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return out, nil
	})
}

func (s *Server) operation(path, id, summary string, statuses ...int) huma.Operation {
	op := huma.Operation{Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Errors: statuses}
	if underV1(path) {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusInternalServerError, http.StatusServiceUnavailable)
		op.Middlewares = huma.Middlewares{s.ready, s.strictQuery}
		op.Tags = []string{"results"}
	}
	if s.cfg.AuthToken != "" && path != "/healthz" && path != "/readyz" {
		op.Errors = append(op.Errors, http.StatusUnauthorized)
	}
	slices.Sort(op.Errors)
	op.Errors = slices.Compact(op.Errors)
	return op
}

// document describes what is served without huma; its statuses are 200 and those that are listed.
func document(api huma.API, path, id, summary, contentType string, statuses ...int) {
	responses := map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{contentType: {}}}}
	for _, status := range statuses {
		responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status)}
	}
	api.OpenAPI().AddOperation(&huma.Operation{Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Responses: responses})
}

// finish adds what all operations have in common.
func finish(spec *huma.OpenAPI, auth bool) {
	if auth {
		spec.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	}
	lag := map[string]*huma.Param{
		lagHeader:     {Description: "Records not yet applied: raw topics, streams and changelogs together", Schema: &huma.Schema{Type: huma.TypeInteger}},
		lagTimeHeader: {Description: "When that was measured: with a lag of 0, all published before is in the answer", Schema: &huma.Schema{Type: huma.TypeString, Format: "date-time"}},
	}
	ready := spec.Paths["/readyz"].Get.Responses
	ready["503"] = &huma.Response{Description: "The tables are being restored, or a stage fails", Content: ready["200"].Content}
	for path, item := range spec.Paths {
		if auth && path != "/healthz" && path != "/readyz" && path != "/" {
			item.Get.Security = []map[string][]string{{"bearer": {}}}
			if item.Get.Responses["401"] == nil { // what is served without huma asks for the token, too
				item.Get.Responses["401"] = &huma.Response{
					Description: http.StatusText(http.StatusUnauthorized),
					Content:     spec.Paths["/v1/stats"].Get.Responses["401"].Content,
				}
			}
		}
		for _, p := range item.Get.Parameters {
			if p.Name == "user_id" { // said and not checked: a longer one is a user who is not known
				schema, longest := *p.Schema, maxID
				schema.MaxLength = &longest
				p.Schema = &schema
			}
		}
		for status, r := range item.Get.Responses {
			if status == "304" {
				r.Content = nil
			}
			if underV1(path) {
				if r.Headers == nil {
					r.Headers = make(map[string]*huma.Param)
				}
				for name, h := range lag {
					r.Headers[name] = h
				}
			}
		}
	}
}

// asset is something that does not change while the process lives.
type asset struct {
	contentType, etag, csp string
	content                []byte
}

func newAsset(contentType string, content []byte, csp string) asset {
	return asset{contentType: contentType, etag: contentTag(content), csp: csp, content: content}
}

// ServeHTTP implements http.Handler.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Security-Policy", a.csp)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.etag)
	if notModified(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = bytes.NewReader(a.content).WriteTo(w) // the client has gone
}

func schemaOf[T any](registry huma.Registry) *huma.Schema {
	return registry.Schema(reflect.TypeFor[T](), true, "")
}
