package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is printed as Markdown that also reads well as it is: the first column to the left, the others to the right.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	line := func(row []string) {
		for i, width := range widths {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("| " + cell + pad + " |")
			} else {
				b.WriteString(" " + pad + cell + " |")
			}
		}
		b.WriteByte('\n')
	}
	line(t.head)
	for i, width := range widths {
		if i == 0 {
			b.WriteString("|" + strings.Repeat("-", width+2) + "|")
		} else {
			b.WriteString(strings.Repeat("-", width+1) + ":|")
		}
	}
	b.WriteByte('\n')
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// print writes a table to standard output.
func (b *bench) print(t table) { fmt.Fprintf(b.stdout, "\n%s", t.String()) }

// thousands writes a number with a comma every three digits.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

// mb is for what may not have been measured.
func mb(n int64) string {
	if n == 0 {
		return "–"
	}
	return strconv.FormatFloat(megabytes(n), 'f', 0, 64)
}

// decimal is for what may not have been measured.
func decimal(f float64) string {
	if f == 0 {
		return "–"
	}
	return strconv.FormatFloat(f, 'f', 1, 64)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}

// ratio writes how many times b there is in a.
func ratio(a, b float64) string {
	if a <= 0 || b <= 0 {
		return "–"
	}
	return strconv.FormatFloat(a/b, 'g', 3, 64) + "×"
}

// hundredths writes a number with two decimals.
func hundredths(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
