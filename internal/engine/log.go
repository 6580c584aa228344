package engine

import (
	"fmt"
	"log/slog"
	"strings"
)

// gokaLogger passes goka's log on, one level down: what goka finds worth printing is for debugging, and whatever makes a
// run fail comes back as its error.
type gokaLogger struct{ log *slog.Logger }

func (l gokaLogger) Printf(format string, args ...any) {
	l.log.Debug("goka", "text", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l gokaLogger) Print(args ...any) { l.Println(args...) }

func (l gokaLogger) Println(args ...any) {
	l.log.Debug("goka", "text", strings.TrimSpace(fmt.Sprintln(args...)))
}
