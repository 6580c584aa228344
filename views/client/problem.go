package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Problem is an answer other than 200: a problem document (RFC 9457), or what can be known of one from the status alone.
type Problem struct {
	Type     string          `json:"type"`
	Title    string          `json:"title"`
	Status   int             `json:"status"`
	Detail   string          `json:"detail"`
	Instance string          `json:"instance"`
	Errors   []ProblemDetail `json:"errors"`

	RetryAfter time.Duration `json:"-"` // that the answer asks for; 0: none
}

// ProblemDetail is one thing that was wrong with a request.
type ProblemDetail struct {
	Message  string `json:"message"`
	Location string `json:"location"`
}

// Error implements error. It is one line, without control characters.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", p.Status, p.Title)
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "; %s %s", e.Location, e.Message)
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, b.String())
}

const maxProblem = 1 << 20

func newProblem(resp *http.Response) *Problem {
	p := new(Problem)
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media == "application/problem+json" || media == "application/json" {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
		if err != nil || json.Unmarshal(body, p) != nil {
			p = new(Problem)
		}
	}
	p.Status = resp.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	if s := resp.Header.Get("Retry-After"); s != "" {
		if n, err := strconv.Atoi(s); err == nil {
			p.RetryAfter = time.Duration(min(max(n, 0), 3600)) * time.Second
		} else if at, err := http.ParseTime(s); err == nil {
			p.RetryAfter = max(0, time.Until(at))
		}
	}
	return p
}
