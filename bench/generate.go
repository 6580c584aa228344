package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"unicode/utf8"
)

const (
	hotUsers  = 10 // those who make the share of events that plan.skew says
	pageCount = 100
)

// eventNames are the event types, each as likely as any other.
var eventNames = [...]string{"click", "scroll", "submit", "download", "focus"}

var (
	givenNames  = []string{"Иван", "Пётр", "Сергей", "Алексей", "Дмитрий", "Николай", "Юрий", "Эдуард", "Фёдор", "Яков"}
	patronymics = []string{"Иванович", "Петрович", "Сергеевич", "Алексеевич", "Дмитриевич", "Николаевич", "Юрьевич", "Ильич"}
	familyNames = []string{"Смирнов", "Кузнецов", "Попов", "Васильев", "Соколов", "Михайлов", "Новиков", "Щербаков", "Журавлёв", "Тихонов", "Ершов"}
)

// plan says which data there are. Equal plans give equal records in equal partitions, but for Kafka's time stamps.
type plan struct {
	users      int // registered; users from this number on are made up, but not registered
	events     int
	partitions int     // of both topics: record i is in partition i % partitions
	seed       uint64  // gives other ids and another order
	skew       float64 // share of the events that hotUsers users make
	cover      bool    // the first events are one for each user
}

// userID returns the id of user i: a decimal number that may be negative, as the reference programs have them. No two users
// of a plan have the same: each step below can be undone.
func (p plan) userID(i int) string {
	z := p.seed*0x9e3779b97f4a7c15 + uint64(i) + 1
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return strconv.FormatInt(int64(z^z>>31), 10)
}

// user returns the name and e-mail of user i.
func (p plan) user(i int) (name, email string) {
	name = givenNames[i%len(givenNames)] + " " + patronymics[i%len(patronymics)] + " " + familyNames[i%len(familyNames)]
	return name, fmt.Sprintf("user%d@example%d.com", i, i%7)
}

// appendUser appends the record's value that registers user i, as Python's json.dumps writes it.
func (p plan) appendUser(b []byte, i int) []byte {
	name, email := p.user(i)
	b = append(b, `{"event_timestamp": "2026-11-22 10:00:`...)
	b = appendSeconds(b, i)
	b = append(b, `", "user_id": "`...)
	b = append(b, p.userID(i)...)
	b = append(b, `", "email": "`...)
	b = append(b, email...)
	b = append(b, `", "name": "`...)
	b = appendEscaped(b, name)
	return append(b, `"}`...)
}

// appendEvent appends the record's value of an event.
func (p plan) appendEvent(b []byte, e event) []byte {
	b = append(b, `{"event_timestamp": "2026-11-22 10:00:`...)
	b = appendSeconds(b, e.number)
	b = append(b, `", "user_id": "`...)
	b = append(b, p.userID(e.user)...)
	b = append(b, `", "page": "https://www.example`...)
	b = strconv.AppendInt(b, int64(e.page), 10)
	b = append(b, `.com/", "event": "`...)
	b = append(b, eventNames[e.kind]...)
	return append(b, `"}`...)
}

func appendSeconds(b []byte, i int) []byte {
	s := i % 60
	return append(b, byte('0'+s/10), byte('0'+s%10))
}

// appendEscaped appends a text of the basic plane that needs no other escapes than those of what is not ASCII.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for _, r := range s {
		if r < utf8.RuneSelf {
			b = append(b, byte(r))
			continue
		}
		b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
	}
	return b
}

// event is one event to publish.
type event struct {
	number int // from 0, in the order of publication
	user   int
	page   int
	kind   int // in eventNames
}

// events draws a plan's events, one after the other and without an end.
type events struct {
	plan plan
	rng  *rand.Rand
	next int
}

func (p plan) draw() *events {
	return &events{plan: p, rng: rand.New(rand.NewPCG(p.seed, 0x706f746f6b))}
}

// draw returns the next event.
func (s *events) draw() event {
	e := event{number: s.next, page: s.rng.IntN(pageCount), kind: s.rng.IntN(len(eventNames))}
	s.next++
	switch {
	case s.plan.cover && e.number < s.plan.users:
		e.user = e.number
	case s.plan.skew > 0 && s.rng.Float64() < s.plan.skew:
		// Spread over the ids, which are in no order anyway.
		e.user = s.rng.IntN(hotUsers)
	default:
		e.user = s.rng.IntN(s.plan.users)
	}
	return e
}
