package emitters

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Event is one act of a user on a page.
type Event struct {
	EventTimestamp string
	UserID         string
	Page           string
	Event          string
}

// AppendJSON appends the event as the reference program 2 publishes it.
func (e Event) AppendJSON(dst []byte) []byte {
	return AppendJSON(dst,
		Field{"event_timestamp", e.EventTimestamp},
		Field{"user_id", e.UserID},
		Field{"page", e.Page},
		Field{"event", e.Event},
	)
}

// EventGenerator makes up events of given users. What it says of a user depends on the seed, the page count and on the
// user's id, e-mail and name only: not on the users before it. So it does not matter how Kafka interleaves partitions,
// which of several processes sees the user, nor whether it is seen again after a crash; and nothing has to be
// remembered. The same id with another name acts differently.
type EventGenerator struct {
	seed     uint64
	min, max int
	pages    []string
	now      func() time.Time
	pcg      *rand.PCG
	rnd      *rand.Rand
}

// NewEventGenerator returns a generator of min to max events a user (0 ≤ min ≤ max) over the given number of pages (at
// least 1). Time stamps are the readings of now, in the zone that now has.
func NewEventGenerator(seed uint64, pages, min, max int, now func() time.Time) *EventGenerator {
	pcg := rand.NewPCG(0, 0)
	return &EventGenerator{
		seed: seed, min: min, max: max, now: now,
		pages: makePages(rand.New(rand.NewPCG(seed, pagesStream)), pages),
		pcg:   pcg, rnd: rand.New(pcg),
	}
}

// Pages returns a copy of the pages that events take place on, all different.
func (g *EventGenerator) Pages() []string { return append([]string(nil), g.pages...) }

// Next returns the events of a user: their count, pages and types are uniform.
func (g *EventGenerator) Next(u User) []Event {
	g.pcg.Seed(g.seedOf(u))
	events := make([]Event, g.min+g.rnd.IntN(g.max-g.min+1))
	for i := range events {
		events[i] = Event{
			EventTimestamp: g.now().Format(TimestampLayout),
			UserID:         u.UserID,
			Page:           pick(g.rnd, g.pages),
			Event:          pick(g.rnd, []string{"click", "scroll", "submit", "download", "focus"}),
		}
	}
	return events
}

func (g *EventGenerator) seedOf(u User) (uint64, uint64) {
	b := binary.LittleEndian.AppendUint64(nil, g.seed)
	for _, s := range []string{u.UserID, u.Email, u.Name} { // with its length, so that no two users read the same
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	sum := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
}

// makePages makes up addresses in the form of Faker's uri with the locale ru_RU: the last word of the path and the name
// of the page run into one there, too.
func makePages(rnd *rand.Rand, count int) []string {
	male, female := maleLexicon(), femaleLexicon()
	firms := []string{"ooo", "zao", "oao", "ao", "npo", "rao", "ip", "gk"}
	zones := []string{"ru", "com", "net", "org", "info", "biz", "edu"}
	paths := []string{"app", "blog", "catalog", "categories", "category", "explore", "list", "main", "news", "posts", "search", "tag", "tags"}
	names := []string{"about", "author", "contacts", "faq", "home", "homepage", "index", "login", "main", "post", "privacy", "register", "terms"}
	suffixes := []string{".html", ".html", ".html", ".htm", ".htm", ".php", ".php", ".jsp", ".asp"}

	pages := make([]string, 0, count)
	seen := make(map[string]bool, count)
	for len(pages) < count {
		page := pick(rnd, []string{"http://", "https://"}) + pick(rnd, []string{"", "www."})
		switch rnd.IntN(8) {
		case 0:
			page += pick(rnd, male.lastASCII)
		case 1:
			page += pick(rnd, female.lastASCII)
		default:
			page += pick(rnd, firms)
		}
		page += "." + pick(rnd, zones) + "/" + pick(rnd, paths)
		for range rnd.IntN(3) {
			page += "/" + pick(rnd, paths)
		}
		page += pick(rnd, names) + pick(rnd, suffixes)
		if !seen[page] {
			seen[page] = true
			pages = append(pages, page)
		}
	}
	return pages
}
