// Package client asks a Potok view over HTTP: who made how many events, how many of each type there are, and what changes,
// as it changes.
//
// A [Client] may be used concurrently. Every method takes a context and ends with it. Questions only read, so they are
// asked again, a few times and with growing pauses, when the connection fails or the view is not ready (502, 503, 504);
// what remains is an error, and a [*Problem] if the view said why. [Client.Stream] goes on until its context ends: it
// reconnects, and resumes where it was.
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	askTimeout     = time.Minute      // one try of a question, body included
	headTimeout    = 30 * time.Second // /v1/stats asks the brokers, for at most 10 s
	defaultRetries = 4
	firstPause     = 100 * time.Millisecond
	maxPause       = 5 * time.Second
	pingAfter      = 15 * time.Second // of silence on a connection; the other side has as long to answer
	maxBody        = 256 << 20        // bytes; an answer is about 16 MiB and one row at most, an event with users 1 MiB and one row
)

// ErrTooLarge means that an answer or an event was larger than any that a view sends (256 MiB).
var ErrTooLarge = errors.New("the answer is too large")

// Client asks one view. Make it with [New].
type Client struct {
	base    string // without a slash at the end
	token   string
	tls     *tls.Config
	ask     *http.Client
	listen  *http.Client // the same without a limit on the whole exchange
	retries int

	pause    time.Duration // first pause before a question is asked again
	reopen   time.Duration // first pause before a stream is opened again, unless the view says otherwise
	silence  time.Duration // a stream that says nothing for so long is dead; views say something every 15 s
	maxEvent int
}

// Option changes a client.
type Option func(*Client)

// WithToken sends a bearer token with every request.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// WithHTTPClient uses a client of one's own, for TLS settings or a proxy. Its Timeout is for questions, not for streams.
func WithHTTPClient(hc *http.Client) Option { return func(c *Client) { c.ask = hc } }

// WithTLS sets how to check the view's certificate. It has no effect together with [WithHTTPClient].
func WithTLS(cfg *tls.Config) Option { return func(c *Client) { c.tls = cfg } }

// WithRetries sets how often a question is asked again after a failure that may pass; 4 by default, which takes up to
// 1.5 s, or what the view asks for.
func WithRetries(n int) Option { return func(c *Client) { c.retries = n } }

// New returns a client of the view at a URL such as http://127.0.0.1:8080. It does not connect yet.
func New(baseURL string, opts ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("server URL: %w", errors.Unwrap(err)) // without the URL, which may hold a secret
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("server URL: must be like http://127.0.0.1:8080")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("server URL: must have no user, query or fragment")
	}
	c := &Client{
		base: strings.TrimRight(baseURL, "/"), retries: defaultRetries,
		pause: firstPause, reopen: time.Second, silence: 45 * time.Second, maxEvent: maxBody,
	}
	for _, o := range opts {
		o(c)
	}
	if err := CheckToken(c.token); err != nil {
		return nil, err
	}
	if c.ask == nil {
		c.ask = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if t, ok := http.DefaultTransport.(*http.Transport); ok {
			t = t.Clone()
			t.ResponseHeaderTimeout = headTimeout
			t.MaxIdleConnsPerHost = t.MaxIdleConns // there is one host; by default the third question at a time opens a connection for itself
			t.TLSClientConfig = c.tls
			// HTTP/2 has one connection for all, and would go on using one that is dead: streams were opened on it again and again.
			t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter}
			c.ask.Transport = t
		}
	}
	listen := *c.ask
	listen.Timeout = 0
	c.listen = &listen
	return c, nil
}

// CheckToken returns an error, without the token in it, if a token is not one that an Authorization header can carry. Views ask
// for none of those.
func CheckToken(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("a token must be one word of printable ASCII, without blanks or line breaks inside")
	}
	return nil
}

// URL returns the address of the view.
func (c *Client) URL() string { return c.base }

// Reply is what every answer has beside its data.
type Reply struct {
	// Lag is the number of records that were not in the answer's tables at LagTime. With a lag of 0, everything that was
	// published before LagTime is in the answer. A zero LagTime means that the answer does not say: views answer once they have measured.
	Lag     int64
	LagTime time.Time
	// Body is the JSON as the view sent it.
	Body []byte
}

// answer asks and decodes into v.
func answer[T any](ctx context.Context, c *Client, path string, query url.Values, v *T) (Reply, error) {
	r, err := c.get(ctx, path, query)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(r.Body, v); err != nil {
		return r, fmt.Errorf("decode the answer of %s%s: %w", c.base, resource(path), err)
	}
	return r, nil
}

// get asks until there is an answer, a failure that stays, or no try left.
func (c *Client) get(ctx context.Context, path string, query url.Values) (Reply, error) {
	for try := 0; ; try++ {
		r, err := c.once(ctx, path, query)
		if err == nil || try >= c.retries || !passing(err) || ctx.Err() != nil {
			return r, err
		}
		pause := max(backoff(try, c.pause, maxPause), min(retryAfter(err), maxPause))
		if end, ok := ctx.Deadline(); ok && time.Until(end) < pause {
			return r, err // it says more than that the time is over
		}
		if !sleep(ctx, pause) {
			return r, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

func (c *Client) once(ctx context.Context, path string, query url.Values) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.send(ctx, c.ask, path, query, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return Reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = ErrTooLarge
	}
	if err != nil {
		return Reply{}, fmt.Errorf("get %s%s: %w", c.base, resource(path), err)
	}
	r := Reply{Body: body}
	if at, err := time.Parse(time.RFC3339, resp.Header.Get("Potok-Lag-Time")); err == nil {
		if lag, err := strconv.ParseInt(resp.Header.Get("Potok-Lag"), 10, 64); err == nil {
			r.Lag, r.LagTime = lag, at
		}
	}
	return r, nil
}

// send returns an answer with status 200, or an error.
func (c *Client) send(ctx context.Context, hc *http.Client, path string, query url.Values, header http.Header) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("get %s%s: %w", c.base, resource(path), err)
	}
	req.Header = header
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := hc.Do(req)
	if err != nil {
		var whole *url.Error // with the query, in which there may be a name
		if errors.As(err, &whole) {
			err = whole.Err
		}
		return nil, fmt.Errorf("get %s%s: %w", c.base, resource(path), err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, newProblem(resp)
	}
	return resp, nil
}

// resource is a path as an error shows it: without anybody's id.
func resource(path string) string {
	if strings.HasPrefix(path, usersPath+"/") {
		return usersPath + "/{user_id}"
	}
	return path
}

// passing says that a failure may be over at the next try.
func passing(err error) bool {
	var problem *Problem
	if errors.As(err, &problem) {
		switch problem.Status {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var certificate *tls.CertificateVerificationError
	return !errors.Is(err, ErrTooLarge) && !errors.As(err, &certificate)
}

func retryAfter(err error) time.Duration {
	var problem *Problem
	if errors.As(err, &problem) {
		return problem.RetryAfter
	}
	return 0
}

// backoff grows with every try and is random, so that many clients do not come back at the same moment.
func backoff(try int, first, limit time.Duration) time.Duration {
	d := limit
	if try < 16 {
		d = min(first<<try, limit)
	}
	return d/2 + rand.N(d/2+1)
}

// sleep says whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
