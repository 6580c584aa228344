package codecs_test

import (
	"strings"
	"testing"

	"github.com/potok-streams/potok/codecs"
)

// records are valid, of the kinds that differ in what they cost; the name's beginning says which topic they are of.
var records = map[string]string{
	"event":          `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "-1234567890123456789", "page": "https://example.com/a", "event": "click"}`,
	"event/escaped":  `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "\u0430\u0431\u0432", "page": "https:\/\/example.com\/a", "event": "cl\u0069ck"}`,
	"event/further":  `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "-1234567890123456789", "context": {"ids": [1, 2.5, -3e7], "ok": true, "tags": [["a"], {"b": null}]}, "page": "https://example.com/a", "event": "click"}`,
	"event/1MB page": `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "-1234567890123456789", "page": "` + strings.Repeat("x", 1<<20) + `", "event": "click"}`,
	// json.dumps writes Cyrillic like this unless told otherwise.
	"user/escaped": `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "-1234567890123456789", "email": "anna@example.org", "name": "\u0410\u043d\u043d\u0430 \u0418\u0432\u0430\u043d\u043e\u0432\u043d\u0430 \u041f\u0435\u0442\u0440\u043e\u0432\u0430"}`,
	"user/utf8":    `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "-1234567890123456789", "email": "anna@example.org", "name": "Анна Ивановна Петрова"}`,
}

func BenchmarkDecode(b *testing.B) {
	for name, in := range records {
		b.Run(name, func(b *testing.B) {
			var d codecs.Decoder
			value := []byte(in)
			isUser := strings.HasPrefix(name, "user")
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				var err error
				if isUser {
					_, err = d.User(value)
				} else {
					_, err = d.Event(value)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Hostile records must cost no more per byte than others.
func BenchmarkDecodeHostile(b *testing.B) {
	for name, in := range map[string]string{
		"1MB of brackets":      strings.Repeat("[", 1<<20),
		"1MB of pairs":         "[" + strings.Repeat("[],", 1<<20/3) + "[]]",
		"1MB of escapes":       `"` + strings.Repeat(`\ud83d\ude00`, 1<<20/12) + `"`,
		"1MB of short strings": "[" + strings.Repeat(`"",`, 1<<20/3) + `""]`,
		"1MB of user_id":       "{" + strings.Repeat(`"\u0075ser_id":0,`, 1<<20/17) + `"user_id":0}`,
	} {
		b.Run(name, func(b *testing.B) {
			var d codecs.Decoder
			value := []byte(in)
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if _, err := d.Event(value); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
