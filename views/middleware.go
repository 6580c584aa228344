package views

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/klauspost/compress/gzhttp"
)

const (
	streamPath = "/v1/stream"
	assetsPath = "/page/"
	allowed    = "GET, HEAD"
	// pageCSP lets the page do what it does, and nothing else. It has no other host and no inline script or style.
	pageCSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	dataCSP = "default-src 'none'; frame-ancestors 'none'"
)

// use wraps all routes, the outermost first.
func (s *Server) use() error {
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.CompressionLevel(4),
		gzhttp.ContentTypes([]string{"application/json", "application/problem+json", "text/html", "text/css", "text/javascript", "image/svg+xml", "text/plain"}))
	if err != nil {
		return fmt.Errorf("compression: %w", err)
	}
	s.mux.Use(s.observe, secure, s.lag, s.route, s.authenticate, func(next http.Handler) http.Handler {
		compressed := compress(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == streamPath { // an event is sent when it is there
				next.ServeHTTP(w, r)
				return
			}
			compressed.ServeHTTP(w, r)
		})
	})
	return nil
}

// observe counts the request, and turns a panic into a problem document.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := s.cfg.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "request panicked", slog.Any("error", p), slog.String("stack", string(debug.Stack())))
				if ww.Status() == 0 {
					writeProblem(ww, http.StatusInternalServerError, errInternal)
				}
			}
			route := chi.RouteContext(r.Context()).RoutePattern()
			if route == "" || strings.HasSuffix(route, "*") {
				route = "other"
			}
			code := strconv.Itoa(max(ww.Status(), http.StatusOK))
			s.metrics.requests.WithLabelValues(route, code).Inc()
			if route != streamPath {
				s.metrics.durations.WithLabelValues(route, code).Observe(s.cfg.Now().Sub(begin).Seconds())
			}
		}()
		next.ServeHTTP(ww, r)
	})
}

// secure sets what a browser is to know.
func secure(next http.Handler) http.Handler {
	always := http.Header{} // all answers share the values
	always.Set("X-Content-Type-Options", "nosniff")
	always.Set("X-Frame-Options", "DENY")
	always.Set("Referrer-Policy", "no-referrer")
	always.Set("Cross-Origin-Resource-Policy", "same-origin")
	always.Set("Cross-Origin-Opener-Policy", "same-origin")
	always.Set("Content-Security-Policy", dataCSP)
	always.Set("Cache-Control", "no-store")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), always)
		next.ServeHTTP(w, r)
	})
}

// lag says how current the answer is. It comes before the answer is read, see [Lag].
func (s *Server) lag(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if underV1(r.URL.Path) {
			setLag(w.Header(), s.cfg.LagMeter.Latest())
		}
		next.ServeHTTP(w, r)
	})
}

func underV1(path string) bool { return path == "/v1" || strings.HasPrefix(path, "/v1/") }

// route makes chi match the path as it was sent: no cleaning, no redirect, and exactly one decoding of a parameter. It
// answers unknown methods.
func (s *Server) route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, sent := *r.URL, *r
		raw.RawPath = r.URL.EscapedPath()
		sent.URL = &raw
		r = &sent
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if !s.mux.Match(chi.NewRouteContext(), http.MethodGet, raw.RawPath) {
				notFound(w, r)
				return
			}
			w.Header().Set("Allow", allowed)
			writeProblem(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
			return
		}
		chi.RouteContext(r.Context()).RouteMethod = http.MethodGet
		next.ServeHTTP(w, r)
	})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, http.StatusNotFound, "there is nothing at this path; /openapi.json lists what there is")
}

// authenticate asks for the bearer token, where there is one, for all that has data. The page itself has none.
func (s *Server) authenticate(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(s.cfg.AuthToken))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		open := s.cfg.AuthToken == "" || path == "/healthz" || path == "/readyz" || path == "/" || strings.HasPrefix(path, assetsPath)
		if !open {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			got := sha256.Sum256([]byte(strings.TrimSpace(token)))
			if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", `Bearer realm="potok"`)
				writeProblem(w, http.StatusUnauthorized, "a bearer token is needed")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ready refuses while the tables are restored, and until lag has been measured once: an answer says how current it is. The first
// measurement is kept while the brokers are away, so that answers go on.
func (s *Server) ready(ctx huma.Context, next func(huma.Context)) {
	detail := ""
	_, w := humachi.Unwrap(ctx)
	switch {
	case !s.cfg.Readiness.Restored():
		detail = "the tables are being restored; /readyz says how far"
	case w.Header().Get(lagTimeHeader) == "":
		detail = "lag has not been measured yet; /readyz says why"
	}
	if detail != "" {
		ctx.SetHeader("Retry-After", "1")
		_ = huma.WriteErr(s.api, ctx, http.StatusServiceUnavailable, detail)
		return
	}
	next(ctx)
}

// strictQuery refuses a query that huma would read one way and its author another.
func (s *Server) strictQuery(ctx huma.Context, next func(huma.Context)) {
	u := ctx.URL()
	query, err := url.ParseQuery(u.RawQuery)
	detail := ""
	if err != nil {
		detail = "the query is not well-formed"
	}
	for _, p := range ctx.Operation().Parameters {
		values, given := query[p.Name]
		switch {
		case p.In != "query" || !given:
		case len(values) > 1:
			detail = "parameter " + p.Name + " is given more than once"
		case values[0] == "" && (len(p.Schema.Enum) > 0 || p.Schema.Type != huma.TypeString):
			detail = "parameter " + p.Name + " is empty"
		case !utf8.ValidString(values[0]):
			detail = "parameter " + p.Name + " is not UTF-8"
		}
	}
	if detail != "" {
		_ = huma.WriteErr(s.api, ctx, http.StatusBadRequest, detail)
		return
	}
	next(ctx)
}

// notModified says that a client which asks on a condition has the body already.
func notModified(ifNoneMatch, etag string) bool {
	for _, tag := range strings.Split(ifNoneMatch, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}
