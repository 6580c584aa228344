package emitters

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// TimestampLayout is how the reference programs write a time: local, to the second, without a zone.
const TimestampLayout = "2006-01-02 15:04:05"

// The streams of the random generators, so that one seed gives users and pages that have nothing to do with each other.
const (
	usersStream = 1
	pagesStream = 2
)

// User is one publication of a user.
type User struct {
	EventTimestamp string
	UserID         string
	Email          string
	Name           string
}

// AppendJSON appends the user as the reference program 1 publishes it.
func (u User) AppendJSON(dst []byte) []byte {
	return AppendJSON(dst,
		Field{"event_timestamp", u.EventTimestamp},
		Field{"user_id", u.UserID},
		Field{"email", u.Email},
		Field{"name", u.Name},
	)
}

// UserGenerator makes up users like Faker's with the locale ru_RU: shares of the forms of names and addresses are as
// measured there. Name and address are independent of each other, as they are there.
//
// There are 1.7 million addresses, not all equally likely: of 100,000 users about 3,450 have an address that was there
// before (Faker: 3,350), with the same id and, nearly always, another name.
type UserGenerator struct {
	seed         uint64
	rnd          *rand.Rand
	now          func() time.Time
	male, female lexicon
}

// NewUserGenerator returns a generator whose time stamps are the readings of now, in the zone that now has.
func NewUserGenerator(seed uint64, now func() time.Time) *UserGenerator {
	return &UserGenerator{
		seed:   seed,
		rnd:    rand.New(rand.NewPCG(seed, usersStream)),
		now:    now,
		male:   maleLexicon(),
		female: femaleLexicon(),
	}
}

// Next returns the next user.
func (g *UserGenerator) Next() User {
	email := g.email()
	return User{
		EventTimestamp: g.now().Format(TimestampLayout),
		UserID:         userID(g.seed, email),
		Email:          email,
		Name:           g.name(),
	}
}

func (g *UserGenerator) lexicon() lexicon {
	if g.rnd.IntN(2) == 0 {
		return g.male
	}
	return g.female
}

func (g *UserGenerator) name() string {
	l := g.lexicon()
	first, patronymic, last := pick(g.rnd, l.first), pick(g.rnd, l.patronymic), pick(g.rnd, l.last)
	switch n := g.rnd.IntN(100); {
	case n < 2:
		return pick(g.rnd, l.titles) + " " + last + " " + first + " " + patronymic
	case n < 51:
		return last + " " + first + " " + patronymic
	default:
		return first + " " + patronymic + " " + last
	}
}

// email is one of nine equally likely forms at one of six equally likely hosts. Faker's forms with a dot between the
// names lose it on their way through its slugify; that is why there are none with a dot here.
func (g *UserGenerator) email() string {
	l := g.lexicon()
	var user string
	switch g.rnd.IntN(9) {
	case 0, 1:
		user = pick(g.rnd, l.lastASCII) + pick(g.rnd, l.firstASCII)
	case 2, 3:
		user = pick(g.rnd, l.firstASCII) + pick(g.rnd, l.lastASCII)
	case 4:
		user = string(rune('a'+g.rnd.IntN(26))) + pick(g.rnd, l.lastASCII)
	case 5:
		user = fmt.Sprintf("%s%02d", pick(g.rnd, l.firstASCII), g.rnd.IntN(100))
	case 6:
		user = fmt.Sprintf("%s_%02d", pick(g.rnd, l.firstASCII), g.rnd.IntN(100))
	case 7:
		user = fmt.Sprintf("%s%d", pick(g.rnd, l.firstASCII), g.year())
	default:
		user = fmt.Sprintf("%s_%d", pick(g.rnd, l.firstASCII), g.year())
	}
	return user + "@" + pick(g.rnd, []string{"gmail.com", "yahoo.com", "hotmail.com", "mail.ru", "yandex.ru", "rambler.ru"})
}

// year ends where it does, not with the current year as Faker's, for the data must not depend on the clock.
func (g *UserGenerator) year() int { return 1970 + g.rnd.IntN(56) }

// userID stands in for Python's hash of a string: signed, 64 bits, another one for each salt. It is a cryptographic hash
// so that neither related seeds nor related addresses show, and so that every machine has the same.
func userID(seed uint64, email string) string {
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64(nil, seed), email...))
	return strconv.FormatInt(int64(binary.LittleEndian.Uint64(sum[:])), 10)
}

func pick(rnd *rand.Rand, from []string) string { return from[rnd.IntN(len(from))] }
