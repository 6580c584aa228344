package emitters

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func clock() time.Time {
	return time.Date(2024, 2, 29, 3, 4, 5, 987654321, time.FixedZone("", 3*60*60))
}

func TestUsersAreDeterministic(t *testing.T) {
	a, b, other := NewUserGenerator(7, clock), NewUserGenerator(7, clock), NewUserGenerator(8, clock)
	same := 0
	for range 1000 {
		u := a.Next()
		if v := b.Next(); u != v {
			t.Fatalf("same seed, %v and %v", u, v)
		}
		if u.Email == other.Next().Email {
			same++
		}
	}
	if same > 10 {
		t.Errorf("another seed gave %d of 1000 addresses again", same)
	}
}

// What users a seed gives is a promise across versions: recorded benchmarks and reports refer to seeds.
func TestUsersOfASeedStay(t *testing.T) {
	const want = `{"event_timestamp": "2024-02-29 03:04:05", "user_id": "3406995196891986841", "email": "solovevfoma@yahoo.com", ` +
		`"name": "\u041a\u0443\u0434\u0440\u044f\u0432\u0446\u0435\u0432 \u0421\u0442\u0430\u043d\u0438\u0441\u043b\u0430\u0432 \u0412\u0430\u0434\u0438\u043c\u043e\u0432\u0438\u0447"}`
	if got := string(NewUserGenerator(1, clock).Next().AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestUsersLookLikeFakers(t *testing.T) {
	email := regexp.MustCompile(`^[a-z]{2,}_?(\d\d|19[7-9]\d|20[0-2]\d)?@(gmail\.com|yahoo\.com|hotmail\.com|mail\.ru|yandex\.ru|rambler\.ru)$`)
	const word = `[А-ЯЁ][а-яё]+`
	forms := map[string]*regexp.Regexp{ // by patronymic and ending of the surname: all of one gender
		"man, surname first":   regexp.MustCompile(`^((г-н|тов\.) )?` + word + `([оеё]в|[иы]н|ий) ` + word + ` ` + word + `ич$`),
		"man, surname last":    regexp.MustCompile(`^` + word + ` ` + word + `ич ` + word + `([оеё]в|[иы]н|ий)$`),
		"woman, surname first": regexp.MustCompile(`^((г-жа|тов\.) )?` + word + `([оеё]ва|[иы]на|ая) ` + word + ` ` + word + `[вч]на$`),
		"woman, surname last":  regexp.MustCompile(`^` + word + ` ` + word + `[вч]на ` + word + `([оеё]ва|[иы]на|ая)$`),
	}
	menFirst, womenFirst := strings.Fields(maleFirstNames), strings.Fields(femaleFirstNames)

	seen := map[string]int{}
	negative, titles := 0, 0
	const n = 5000
	g := NewUserGenerator(3, clock)
	for range n {
		u := g.Next()
		if u.EventTimestamp != "2024-02-29 03:04:05" {
			t.Fatalf("time stamp %q", u.EventTimestamp)
		}
		if !email.MatchString(u.Email) {
			t.Fatalf("email %q", u.Email)
		}
		id, err := strconv.ParseInt(u.UserID, 10, 64)
		if err != nil || strconv.FormatInt(id, 10) != u.UserID {
			t.Fatalf("user id %q: %v", u.UserID, err)
		}
		if id < 0 {
			negative++
		}
		matched := 0
		for form, re := range forms {
			if !re.MatchString(u.Name) {
				continue
			}
			matched++
			seen[form]++
			words := strings.Fields(u.Name)
			if strings.Contains(words[0], "-") || strings.HasSuffix(words[0], ".") {
				titles++
				words = words[1:]
			}
			first := words[0]
			if strings.HasSuffix(form, "surname first") {
				first = words[1]
			}
			names := menFirst
			if strings.HasPrefix(form, "woman") {
				names = womenFirst
			}
			if !slices.Contains(names, first) {
				t.Fatalf("%q: %q is no first name of a %s", u.Name, first, form)
			}
		}
		if matched != 1 {
			t.Fatalf("name %q has %d forms", u.Name, matched)
		}
	}
	if len(seen) != len(forms) {
		t.Errorf("forms %v, want all %d", seen, len(forms))
	}
	if share := float64(negative) / n; math.Abs(share-0.5) > 0.03 {
		t.Errorf("%v of the ids are negative", share)
	}
	if share := float64(titles) / n; math.Abs(share-0.02) > 0.01 {
		t.Errorf("%v of the names have a title", share)
	}
}

func TestAddressesComeAgainWithTheirID(t *testing.T) {
	ids, names := map[string]string{}, map[string]string{}
	repeats, renamed := 0, 0
	g := NewUserGenerator(5, clock)
	const n = 100_000
	for range n {
		u := g.Next()
		if id, ok := ids[u.Email]; ok {
			repeats++
			if id != u.UserID {
				t.Fatalf("address %q has ids %s and %s", u.Email, id, u.UserID)
			}
			if names[u.Email] != u.Name {
				renamed++
			}
		}
		ids[u.Email], names[u.Email] = u.UserID, u.Name
	}
	if repeats < 3000 || repeats > 4000 { // 3,450 expected, standard deviation about 60
		t.Errorf("%d of %d addresses came again", repeats, n)
	}
	if renamed < repeats-5 {
		t.Errorf("only %d of %d repeated addresses have another name", renamed, repeats)
	}
	if a, b := userID(1, "a@mail.ru"), userID(2, "a@mail.ru"); a == b {
		t.Error("the id does not depend on the seed")
	}
}

func TestWordLists(t *testing.T) {
	for name, list := range map[string]string{"men": maleFirstNames, "women": femaleFirstNames, "surnames": maleLastNames} {
		words := strings.Fields(list)
		slices.Sort(words)
		if n := len(words); len(slices.Compact(words)) != n {
			t.Errorf("%s: a name is there twice", name)
		}
	}
	for father, want := range map[string][2]string{
		"Иван":    {"Иванович", "Ивановна"},
		"Сергей":  {"Сергеевич", "Сергеевна"},
		"Николай": {"Николаевич", "Николаевна"},
		"Юрий":    {"Юрьевич", "Юрьевна"},
		"Дмитрий": {"Дмитриевич", "Дмитриевна"},
		"Игорь":   {"Игоревич", "Игоревна"},
		"Илья":    {"Ильич", "Ильинична"},
		"Никита":  {"Никитич", "Никитична"},
		"Фома":    {"Фомич", "Фоминична"},
		"Лев":     {"Львович", "Львовна"},
		"Пётр":    {"Петрович", "Петровна"},
	} {
		if m, f := patronymics(father); m != want[0] || f != want[1] {
			t.Errorf("%s: %s and %s, want %v", father, m, f, want)
		}
	}
	if got := transliterate("Щукин-Юльев Якуньшый"); got != "shchukin-julev jakunshi" {
		t.Errorf("transliterated: %q", got)
	}
}

func TestPages(t *testing.T) {
	form := regexp.MustCompile(`^https?://(www\.)?[a-z]+\.(ru|com|net|org|info|biz|edu)(/[a-z]+){1,3}\.(html?|php|jsp|asp)$`)
	pages := NewEventGenerator(1, 100, 1, 10, clock).Pages()
	if len(pages) != 100 {
		t.Fatalf("%d pages", len(pages))
	}
	for _, p := range pages {
		if !form.MatchString(p) {
			t.Errorf("page %q", p)
		}
	}
	if !slices.Equal(pages, NewEventGenerator(1, 100, 1, 10, clock).Pages()) {
		t.Error("same seed, other pages")
	}
	if slices.Equal(pages, NewEventGenerator(2, 100, 1, 10, clock).Pages()) {
		t.Error("other seed, same pages")
	}
	slices.Sort(pages)
	if len(slices.Compact(pages)) != 100 {
		t.Error("a page is there twice")
	}
}

func TestEventsDependOnTheUserOnly(t *testing.T) {
	users := NewUserGenerator(1, clock)
	u, v := users.Next(), users.Next()
	a, b := NewEventGenerator(9, 100, 5, 5, clock), NewEventGenerator(9, 100, 5, 5, clock)
	first := a.Next(u)
	a.Next(v)
	b.Next(v)
	u.EventTimestamp = "later"
	if !slices.Equal(first, b.Next(u)) {
		t.Error("events depend on the users before")
	}
	if slices.Equal(first, NewEventGenerator(10, 100, 5, 5, clock).Next(u)) {
		t.Error("events do not depend on the seed")
	}
	renamed := u
	renamed.Name = v.Name
	if slices.Equal(first, b.Next(renamed)) {
		t.Error("a renamed user does the same again")
	}
}

func TestEventsAreUniform(t *testing.T) {
	g := NewEventGenerator(4, 100, 1, 10, clock)
	users := NewUserGenerator(4, clock)
	counts, pages, types := map[int]int{}, map[string]int{}, map[string]int{}
	const n = 20000
	total := 0
	for range n {
		u := users.Next()
		events := g.Next(u)
		counts[len(events)]++
		total += len(events)
		for _, e := range events {
			if e.UserID != u.UserID || e.EventTimestamp != "2024-02-29 03:04:05" {
				t.Fatalf("%v of %v", e, u)
			}
			pages[e.Page]++
			types[e.Event]++
		}
	}
	check := func(what string, n, of, kinds int) {
		if want := float64(of) / float64(kinds); math.Abs(float64(n)-want) > 6*math.Sqrt(want) {
			t.Errorf("%s: %d times, expected %.0f", what, n, want)
		}
	}
	for i := 1; i <= 10; i++ {
		check(strconv.Itoa(i)+" events", counts[i], n, 10)
	}
	if len(counts) != 10 || len(pages) != 100 || len(types) != 5 {
		t.Errorf("%d counts, %d pages, %d types", len(counts), len(pages), len(types))
	}
	for p, c := range pages {
		check(p, c, total, 100)
	}
	for _, e := range []string{"click", "scroll", "submit", "download", "focus"} {
		check(e, types[e], total, 5)
	}
}

func TestNoEvents(t *testing.T) {
	if got := NewEventGenerator(1, 1, 0, 0, clock).Next(User{}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func BenchmarkUsers(b *testing.B) {
	g := NewUserGenerator(1, time.Now)
	var buf []byte
	for b.Loop() {
		buf = g.Next().AppendJSON(buf[:0])
	}
}
