package terminal

import (
	"strings"

	"github.com/potok-streams/potok/views/client"
)

// model is what is known of the view. Its parts are replaced, never changed.
type model struct {
	server    string
	connected bool // at least once
	live      bool
	reason    string // why not
	users     *client.UsersPage
	types     *client.EventTypes
	stats     *client.Stats
	topics    []client.TopicPoints
	note      string
}

// span is a piece of a line with one style, the parameters of an SGR sequence.
type span struct{ text, style string }

const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// line is a line of the screen; its texts are clean.
type line []span

const (
	maxTopics = 4
	rateOver  = 10 // seconds
)

// frame lays the model out on a screen. It returns at most height lines, which may be wider than the screen.
func frame(m *model, l labels, columns, height int) []line {
	top := []line{head(m, l), totals(m, l)}
	if height >= 16 {
		top = append(top, topicLines(m, l, columns)...)
	}
	var types []client.EventType
	if m.types != nil {
		types = m.types.Types
	}
	roomy := 0 // blank lines
	if height >= 16 {
		roomy = 2
	}
	bottom := 0
	if m.note != "" {
		bottom = 1
	}
	free := max(0, height-len(top)-roomy-bottom-3)                              // two headings and the names of the columns
	typeRows := min(len(types), max(free/2, min(5, free-3), free-userCount(m))) // there are five types in most places
	userRows := free - typeRows

	lines := top
	blank := func() {
		if roomy > 0 {
			lines = append(lines, nil)
		}
	}
	blank()
	lines = append(lines, line{{l.users, bold}})
	lines = append(lines, userLines(m, userRows, columns)...)
	blank()
	lines = append(lines, line{{l.types, bold}})
	lines = append(lines, typeLines(m, l, types, typeRows, columns)...)
	if m.note != "" {
		lines = append(lines[:min(len(lines), max(0, height-1))], line{{Clean(m.note), dim}})
	}
	return lines[:min(len(lines), height)]
}

func userCount(m *model) int {
	if m.users == nil {
		return 0
	}
	return len(m.users.Users)
}

func head(m *model, l labels) line {
	state := span{"◌ " + l.connecting, yellow}
	switch {
	case m.live:
		state = span{"● " + l.live, green}
	case m.connected:
		state = span{"◌ " + l.reconnecting, yellow}
	}
	h := line{{"Potok", bold}, {"  ", plain}, state, {"  " + Clean(m.server), dim}}
	if !m.live && m.reason != "" {
		h = append(h, span{"  " + Clean(m.reason), dim})
	}
	return h
}

func totals(m *model, l labels) line {
	if m.stats == nil {
		return nil
	}
	s := m.stats
	var out line
	add := func(label string, n uint64, always bool) {
		if n == 0 && !always {
			return
		}
		if len(out) > 0 {
			out = append(out, span{" · ", dim})
		}
		out = append(out, span{label + " ", dim}, span{l.count(n), plain})
	}
	add(l.known, s.UsersKnown, true)
	add(l.withEvents, s.UsersWithEvents, true)
	counted := s.EventsCounted
	if m.types != nil {
		counted = m.types.Total // the newer
	}
	add(l.counted, counted, true)
	add(l.ofUnknown, s.EventsOfUnknownUsers, false)
	add(l.rejected, s.MessagesRejected, false)
	add(l.lost, s.Lost, false)
	if !s.LagTime.IsZero() {
		add(l.lag, uint64(max(0, s.Lag)), true)
	}
	return out
}

// topicLines show what came into each raw topic in the last minute.
func topicLines(m *model, l labels, columns int) []line {
	topics := m.topics[:min(len(m.topics), maxTopics)]
	names, figures := make([]string, len(topics)), make([]string, len(topics))
	nameWidth, figureWidth := 0, 0
	for i, t := range topics {
		names[i] = cell(t.Topic, max(8, columns/4))
		last := t.Points[max(0, len(t.Points)-rateOver):]
		var published, consumed, lag int64
		for _, p := range last {
			published, consumed, lag = published+p.Published, consumed+p.Consumed, p.Lag
		}
		n := float64(max(1, len(last)))
		figures[i] = l.published + " " + l.rate(float64(published)/n) + "  " + l.handed + " " + l.rate(float64(consumed)/n) + "  " + l.lag + " " + l.count(uint64(max(0, lag)))
		nameWidth, figureWidth = max(nameWidth, width(names[i])), max(figureWidth, width(figures[i]))
	}
	var lines []line
	for i, t := range topics {
		n := min(60, max(10, columns-nameWidth-figureWidth-2*gap))
		lines = append(lines, line{{pad(names[i], nameWidth+gap, false), plain}, {pad(sparkline(t.Points, n), n, true) + "  ", cyan}, {figures[i], plain}})
	}
	return lines
}

// sparkline draws the last n points.
func sparkline(points []client.Point, n int) string {
	points = points[max(0, len(points)-n):]
	var highest int64
	for _, p := range points {
		highest = max(highest, p.Published)
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, p := range points {
		level := int64(0)
		if p.Published > 0 {
			level = max(1, p.Published*int64(len(levels)-1)/highest) // a little is more than nothing
		}
		b.WriteRune(levels[level])
	}
	return b.String()
}

func userColumns() []Column {
	return []Column{{Name: "user_id"}, {Name: "name"}, {Name: "email"}, {Name: "event_count", Right: true}}
}

func userCells(u client.User) []string {
	return []string{u.UserID, orDash(u.Name), orDash(u.Email), uitoa(u.EventCount)}
}

// userLines returns the names of the columns and exactly rows lines.
func userLines(m *model, rows, columns int) []line {
	cols := userColumns()
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	cells := [][]string{names}
	if m.users != nil {
		for _, u := range m.users.Users[:min(rows, len(m.users.Users))] {
			row := userCells(u)
			for i := range row {
				row[i] = cell(row[i], columns)
			}
			cells = append(cells, row)
		}
	}
	widths := make([]int, len(cols))
	for _, row := range cells {
		for i, s := range row {
			widths[i] = max(widths[i], width(s))
		}
	}
	squeeze(cols, widths, columns)
	lines := make([]line, rows+1)
	for r, row := range cells {
		for i := range row {
			row[i] = cut(row[i], widths[i])
		}
		style := plain
		if r == 0 {
			style = dim
		}
		lines[r] = line{{joinCells(cols, row, widths), style}}
	}
	return lines
}

// typeLines returns at most rows lines, with a bar each.
func typeLines(m *model, l labels, types []client.EventType, rows, columns int) []line {
	shown := types[:min(rows, len(types))]
	if len(shown) < len(types) && rows > 0 {
		shown = shown[:rows-1]
	}
	nameWidth, countWidth := 0, 0
	names := make([]string, len(shown))
	for i, t := range shown {
		names[i] = cell(t.Event, max(8, columns/4))
		nameWidth, countWidth = max(nameWidth, width(names[i])), max(countWidth, width(l.count(t.Count)))
	}
	room := columns - nameWidth - countWidth - 2*gap
	var lines []line
	for i, t := range shown {
		lines = append(lines, line{
			{pad(names[i], nameWidth+gap, false), plain},
			{pad(l.count(t.Count), countWidth, true), plain},
			{"  " + bar(t.Count, shown[0].Count, room), cyan},
		})
	}
	if rest := len(types) - len(shown); rest > 0 && rows > 0 {
		lines = append(lines, line{{"… " + l.more + " " + l.count(uint64(rest)), dim}})
	}
	return lines
}

// bar draws n of all as a part of a number of columns, in eighths.
func bar(n, all uint64, columns int) string {
	if columns <= 0 || all == 0 {
		return ""
	}
	eighths := int(float64(n) / float64(all) * float64(8*columns))
	s := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	if s == "" && n > 0 {
		s = "▏"
	}
	return s
}
