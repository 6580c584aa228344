package views

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// errInternal is all that a client learns of a failure that is ours.
const errInternal = "the row could not be read; the log says why"

// writeProblem answers with an RFC 9457 problem document where no endpoint does.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	body, err := marshal(huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail})
	if err != nil {
		status, body = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone
}

// problemOf is the one place where an error becomes a status.
func (s *Server) problemOf(ctx context.Context, err error) error {
	var status huma.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return err
	case errors.Is(err, errCursor), errors.Is(err, errText):
		return huma.Error400BadRequest(err.Error())
	case errors.Is(err, errNoUser):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, errUnmeasured):
		return huma.Error503ServiceUnavailable(err.Error())
	case ctx.Err() != nil:
		return huma.NewError(http.StatusServiceUnavailable, "the request was cancelled")
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "request failed", slog.Any("error", err))
	return huma.Error500InternalServerError(errInternal)
}
