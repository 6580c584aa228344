package terminal

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// safe says that a terminal only shows the rune. Joiners are safe: names in several scripts, and emoji, need them.
func safe(r rune) bool {
	switch r {
	case '\u200c', '\u200d':
		return true
	case utf8.RuneError:
		return true
	}
	return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs)
}

// Clean escapes what a terminal would act on, the way Go writes it: \n, \x1b, \u202e. Invalid UTF-8 becomes U+FFFD.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case safe(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// CleanJSON escapes the same in a JSON text, as JSON writes it, so that it stays the same JSON. Line breaks between the
// tokens are let through.
func CleanJSON(text []byte) []byte {
	unsafe := func(r rune) bool { return r != '\n' && r != '\r' && r != '\t' && !safe(r) }
	if bytes.IndexFunc(text, unsafe) < 0 {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case !unsafe(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.Bytes()
}

// condition counts ambiguous characters as narrow, whatever the locale: ours are box drawings and Cyrillic.
func condition() *runewidth.Condition { return &runewidth.Condition{StrictEmojiNeutral: true} }

// width is the number of columns that a clean text takes.
func width(s string) int { return condition().StringWidth(s) }

// cell cleans a text and cuts it to a number of columns.
func cell(s string, columns int) string {
	if columns <= 0 {
		return ""
	}
	// A name may have 256 KiB, and marks without a width: both must not cost, or cover, a screen.
	if limit := 8*columns + 8; len(s) > limit {
		runes := 0
		for i := range s {
			if runes++; runes > limit {
				return cut(Clean(s[:i])+"…", columns)
			}
		}
	}
	return cut(Clean(s), columns)
}

func cut(s string, columns int) string {
	if width(s) <= columns {
		return s
	}
	return condition().Truncate(s, columns, "…")
}

// pad fills a text up with blanks, on its left or its right.
func pad(s string, columns int, left bool) string {
	blanks := strings.Repeat(" ", max(0, columns-width(s)))
	if left {
		return blanks + s
	}
	return s + blanks
}
