package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// enter switches to the alternate screen, hides the cursor, and stops the terminal from breaking lines.
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	// A terminal that knows these shows what is between them at once; others ignore them.
	beginFrame = "\x1b[?2026h"
	endFrame   = "\x1b[?2026l"
)

// screen draws frames on the alternate screen. It writes only the lines that changed, each frame in one piece.
type screen struct {
	out             io.Writer
	color           bool
	columns, height int
	shown           []string
}

func (s *screen) enter() error {
	_, err := io.WriteString(s.out, enter)
	return err
}

// leave gives the terminal back as it was.
func (s *screen) leave() error {
	_, err := io.WriteString(s.out, leave)
	return err
}

// forget makes the next frame be drawn whole.
func (s *screen) forget() { s.shown = nil }

func (s *screen) draw(lines []line, columns, height int) error {
	if columns != s.columns || height != s.height {
		s.columns, s.height, s.shown = columns, height, nil
	}
	next := make([]string, height)
	for i, l := range lines[:min(len(lines), height)] {
		next[i] = s.paint(l, columns-1) // erasing behind a character in the last column would erase it
	}
	if slices.Equal(next, s.shown) {
		return nil
	}
	var b strings.Builder
	b.WriteString(beginFrame)
	if s.shown == nil {
		b.WriteString("\x1b[2J")
	}
	for i, text := range next {
		if s.shown == nil && text == "" || s.shown != nil && text == s.shown[i] {
			continue
		}
		fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[K", i+1, text)
	}
	b.WriteString(endFrame)
	s.shown = next
	_, err := io.WriteString(s.out, b.String())
	return err
}

// paint cuts a line to a number of columns and adds the styles.
func (s *screen) paint(l line, columns int) string {
	var b strings.Builder
	for _, sp := range l {
		text := cut(sp.text, max(0, columns))
		columns -= width(text)
		if s.color && sp.style != plain && text != "" {
			text = "\x1b[" + sp.style + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
		if columns <= 0 {
			break
		}
	}
	return strings.TrimRight(b.String(), " ")
}
