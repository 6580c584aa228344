package terminal

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/potok-streams/potok/views/client"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a test's flag

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it):\n%s", name, got)
	}
}

func ptr[T any](v T) *T { return &v }

func sample() *model {
	users := []client.User{
		{UserID: "-7466182938234", Name: ptr("Анна Сергеевна Иванова"), Email: ptr("anna@example.org"), EventCount: 12345},
		{UserID: "42", Name: ptr("王小明 👩‍👩‍👧 wide"), Email: ptr("wang@example.net"), EventCount: 120},
		{UserID: "evil", Name: ptr("\x1b]0;pwned\a\x1b[2J\u202egnorw\u009b"), Email: ptr("a\nb\tc"), EventCount: 7},
		{UserID: "", Name: ptr(""), Email: nil, EventCount: 1},
	}
	m := &model{
		server: "http://127.0.0.1:8080", connected: true, live: true, note: "q: quit",
		users: &client.UsersPage{Users: users, NextCursor: "more"},
		types: &client.EventTypes{Total: 12473, Types: []client.EventType{{Event: "click", Count: 12000}, {Event: "прокрутка", Count: 400}, {Event: "\x1b[31m", Count: 70}, {Event: "focus", Count: 3}}},
		stats: &client.Stats{UsersKnown: 5, UsersWithEvents: 4, EventsCounted: 12473, EventsOfUnknownUsers: 2, MessagesRejected: 1, Reply: client.Reply{Lag: 3, LagTime: time.Unix(1, 0)}},
	}
	var points []client.Point
	for i := range 100 {
		points = append(points, client.Point{Published: int64(i % 20 * 50), Consumed: int64(i % 20), Lag: int64(i)})
	}
	m.topics = []client.TopicPoints{{Topic: "CorpAppsTopic"}, {Topic: "test", Points: points}}
	return m
}

func paintAll(lines []line, columns int) string {
	s := &screen{}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(s.paint(l, columns) + "\n")
	}
	return b.String()
}

func TestFrame(t *testing.T) {
	for _, lang := range []string{"en", "ru"} {
		for _, size := range [][2]int{{100, 24}, {60, 18}, {40, 10}} {
			text := paintAll(frame(sample(), labelsOf(lang), size[0], size[1]), size[0])
			golden(t, fmt.Sprintf("frame-%s-%dx%d.txt", lang, size[0], size[1]), text)
		}
	}
	lost := &model{server: "http://127.0.0.1:8080", connected: true, reason: "stream: unexpected EOF"}
	golden(t, "frame-en-lost.txt", paintAll(frame(lost, labelsOf("en"), 80, 12), 80))
	golden(t, "frame-ru-start.txt", paintAll(frame(&model{server: "http://127.0.0.1:8080"}, labelsOf("ru"), 80, 12), 80))
}

// TestFrameFits lays out on every size: never more lines than there are, never wider, and nothing a terminal acts on.
func TestFrameFits(t *testing.T) {
	m := sample()
	for i := range 300 {
		m.types.Types = append(m.types.Types, client.EventType{Event: strings.Repeat("щ", i), Count: 1})
		m.users.Users = append(m.users.Users, client.User{UserID: strings.Repeat("漢", i), Name: ptr(strings.Repeat("é́", i))})
	}
	for columns := 1; columns < 150; columns += 13 {
		for height := 1; height < 60; height += 5 {
			lines := frame(m, labelsOf("ru"), columns, height)
			if len(lines) > height {
				t.Fatalf("%dx%d: %d lines", columns, height, len(lines))
			}
			for _, l := range strings.Split(paintAll(lines, columns), "\n") {
				if width(l) > columns || Clean(l) != l {
					t.Fatalf("%dx%d: %q", columns, height, l)
				}
			}
		}
	}
}

func TestTables(t *testing.T) {
	for _, lang := range []string{"en", "ru"} {
		text, err := tables(sample(), labelsOf(lang))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "tables-"+lang+".txt", text)
	}
}

func TestTableOfManyPages(t *testing.T) {
	var b strings.Builder
	table := NewTable(Column{Name: "a"}, Column{Name: "n", Right: true})
	for _, rows := range [][][]string{nil, {{"x", "1"}}, {{"漢字漢字", "1000"}}, {{"x", "2"}}} {
		if err := table.Write(&b, rows); err != nil {
			t.Fatal(err)
		}
	}
	if want := "a  n\nx  1\n漢字漢字  1000\nx            2\n"; b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Анна 🦊 王": "Анна 🦊 王", "👩‍👧": "👩‍👧", "a\nb\r\t": `a\nb\r\t`, "\x1b[2J": `\x1b[2J`, "\u009b2J\x7f\x00": `\x9b2J\x7f\x00`,
		"\u202e\u2066\u2028": `\u202e\u2066\u2028`, "\U000e0041": `\U000e0041`, "\xff": "\ufffd",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[2J\u202e\U000e0041\xff")
	f.Fuzz(func(t *testing.T, in string) {
		for _, s := range []string{Clean(in), cell(in, 20)} {
			if !utf8.ValidString(s) || strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) >= 0 {
				t.Errorf("%q: %q", in, s)
			}
		}
		if w := width(cell(in, 20)); w > 20 {
			t.Errorf("%q: %d columns", in, w)
		}
		in = strings.ToValidUTF8(in, "?")
		var b bytes.Buffer // JSON that escapes as little as it may
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(in); err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(CleanJSON(b.Bytes()), &back); err != nil || back != in {
			t.Errorf("%q became %q: %v", in, back, err)
		}
	})
}

func TestSparklineAndBar(t *testing.T) {
	var points []client.Point
	for _, n := range []int64{5, 0, 1, 500, 1000} {
		points = append(points, client.Point{Published: n})
	}
	if got := sparkline(points, 4); got != "▁▂▄█" {
		t.Errorf("sparkline %q", got)
	}
	if got := sparkline(nil, 4) + bar(0, 0, 5) + bar(1, 1, 0) + bar(0, 5, 5); got != "" {
		t.Errorf("nothing is %q", got)
	}
	if got := bar(1, 1000, 10) + " " + bar(5, 10, 5) + " " + bar(10, 10, 3); got != "▏ ██▌ ███" {
		t.Errorf("bars %q", got)
	}
}

func TestNumbers(t *testing.T) {
	en, ru := labelsOf("en"), labelsOf("ru")
	if got := en.count(0) + " " + en.count(999) + " " + en.count(1000) + " " + en.count(1234567) + " " + ru.count(12345); got != "0 999 1,000 1,234,567 12\u00a0345" {
		t.Errorf("got %q", got)
	}
	if got := en.rate(0.25) + " " + en.rate(1234.5) + " " + ru.rate(2.5); got != "0.2/s 1,235/s 2,5/с" {
		t.Errorf("got %q", got)
	}
}

func TestScreenWritesWhatChanged(t *testing.T) {
	var b bytes.Buffer
	s := &screen{out: &b, color: true}
	draw := func(columns, height int, texts ...string) string {
		b.Reset()
		var lines []line
		for _, text := range texts {
			lines = append(lines, line{{text, bold}})
		}
		if err := s.draw(lines, columns, height); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, step := range []struct{ got, want string }{
		{draw(20, 3, "one", "two"), beginFrame + "\x1b[2J\x1b[1;1H\x1b[1mone\x1b[0m\x1b[K\x1b[2;1H\x1b[1mtwo\x1b[0m\x1b[K" + endFrame},
		{draw(20, 3, "one", "two"), ""},
		{draw(20, 3, "one", "2"), beginFrame + "\x1b[2;1H\x1b[1m2\x1b[0m\x1b[K" + endFrame},
		{draw(20, 3, "one"), beginFrame + "\x1b[2;1H\x1b[K" + endFrame},
		{draw(3, 1, "one", "two"), beginFrame + "\x1b[2J\x1b[1;1H\x1b[1mo…\x1b[0m\x1b[K" + endFrame},
	} {
		if step.got != step.want {
			t.Errorf("got %q, want %q", step.got, step.want)
		}
	}
}
