package terminal

import (
	"io"
	"strings"
)

const (
	maxCell = 100 // columns; longer ones are cut, other outputs have them whole
	gap     = 2   // blanks between columns
)

// Column is a column of a table.
type Column struct {
	Name  string
	Right bool // its cells are aligned on the right, as numbers are
}

// Table writes rows in aligned columns. Only one stretch of rows is held at a time: columns can get wider from one stretch
// to the next, and never narrower.
type Table struct {
	columns []Column
	widths  []int
	begun   bool
}

// NewTable returns a table with these columns.
func NewTable(columns ...Column) *Table {
	return &Table{columns: columns, widths: make([]int, len(columns))}
}

// Write writes rows, and the names of the columns before the first ones. Cells need not be clean.
func (t *Table) Write(w io.Writer, rows [][]string) error {
	clean := make([][]string, 0, len(rows)+1)
	if !t.begun {
		t.begun = true
		names := make([]string, len(t.columns))
		for i, c := range t.columns {
			names[i] = c.Name
		}
		clean = append(clean, names)
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, s := range row {
			cells[i] = cell(s, maxCell)
		}
		clean = append(clean, cells)
	}
	for _, row := range clean {
		for i, s := range row {
			t.widths[i] = max(t.widths[i], width(s))
		}
	}
	var b strings.Builder
	for _, row := range clean {
		b.WriteString(joinCells(t.columns, row, t.widths) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// joinCells makes a line of clean cells.
func joinCells(columns []Column, cells []string, widths []int) string {
	var b strings.Builder
	for i, s := range cells {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		b.WriteString(pad(s, widths[i], columns[i].Right))
	}
	return strings.TrimRight(b.String(), " ")
}

// squeeze takes from the widest column until all fit; from numbers, which must not be misread, only when nothing else is
// left to take.
func squeeze(columns []Column, widths []int, total int) {
	const least = 3
	sum := gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	for ; sum > total; sum-- {
		text, widest := -1, 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
			if !columns[i].Right && w > least && (text < 0 || w > widths[text]) {
				text = i
			}
		}
		if text < 0 {
			text = widest
		}
		if widths[text] <= 1 {
			return
		}
		widths[text]--
	}
}
