package terminal

import (
	"strconv"
	"strings"
)

// labels are the words of a language. Column names are the records' own in every language.
type labels struct {
	users, types                           string // headings
	connecting, live, reconnecting         string
	known, withEvents, counted, ofUnknown  string
	rejected, lost, lag, published, handed string
	perSecond, more                        string
	thousands, decimal                     string
}

func labelsOf(lang string) labels {
	if lang == "ru" {
		return labels{
			users: "События по пользователям:", types: "Количество видов событий:",
			connecting: "подключение", live: "на связи", reconnecting: "связь потеряна, подключение",
			known: "пользователи", withEvents: "с событиями", counted: "события", ofUnknown: "от неизвестных",
			rejected: "отклонено", lost: "потеряно", lag: "отставание", published: "поступает", handed: "обработано",
			perSecond: "/с", more: "ещё", thousands: "\u00a0", decimal: ",",
		}
	}
	return labels{
		users: "Events by user:", types: "Events by type:",
		connecting: "connecting", live: "live", reconnecting: "connection lost, reconnecting",
		known: "users", withEvents: "with events", counted: "events", ofUnknown: "of unknown users",
		rejected: "rejected", lost: "lost", lag: "lag", published: "in", handed: "out",
		perSecond: "/s", more: "more", thousands: ",", decimal: ".",
	}
}

// Headings returns the headings of both results in a language, en or ru.
func Headings(lang string) (users, eventTypes string) {
	l := labelsOf(lang)
	return l.users, l.types
}

// count writes a number for people.
func (l labels) count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(l.thousands)
		}
		b.WriteRune(d)
	}
	return b.String()
}

// rate writes records a second.
func (l labels) rate(perSecond float64) string {
	if perSecond >= 100 {
		return l.count(uint64(perSecond+0.5)) + l.perSecond
	}
	return strings.Replace(strconv.FormatFloat(perSecond, 'f', 1, 64), ".", l.decimal, 1) + l.perSecond
}
