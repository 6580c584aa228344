package emitters

import (
	"encoding/json"
	"testing"
)

// The golden strings are what json.dumps of CPython 3.11 wrote.
func TestAppendJSONWritesAsPython(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"empty":            {"", `""`},
		"plain":            {"plain", `"plain"`},
		"quote and slash":  {`a"b\c/d`, `"a\"b\\c/d"`},
		"short escapes":    {"\n\r\t\b\f", `"\n\r\t\b\f"`},
		"control":          {"\x00\x01\x0b\x1f", `"\u0000\u0001\u000b\u001f"`},
		"edges of ascii":   {" ~", `" ~"`},
		"delete and after": {"\x7f\u0080\u009f\u00a0", `"\u007f\u0080\u009f\u00a0"`},
		"cyrillic":         {"Иван Ёлкин", `"\u0418\u0432\u0430\u043d \u0401\u043b\u043a\u0438\u043d"`},
		"surrogate pairs":  {"😀\U00010000\U0010ffff", `"\ud83d\ude00\ud800\udc00\udbff\udfff"`},
		"line separators":  {"\u2028\u2029<>&", `"\u2028\u2029<>&"`},
		"latin and bom":    {"é\ufeff\ufffd", `"\u00e9\ufeff\ufffd"`},
		"end of the plane": {"\ufffe\uffff", `"\ufffe\uffff"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(appendString(nil, tc.in)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAppendJSONObjects(t *testing.T) {
	for name, tc := range map[string]struct {
		got  []byte
		want string
	}{
		"user": {
			User{"2024-01-02 03:04:05", "-6415", "a_1@mail.ru", "г-н Щукин Пётр Ильич"}.AppendJSON(nil),
			`{"event_timestamp": "2024-01-02 03:04:05", "user_id": "-6415", "email": "a_1@mail.ru", "name": "\u0433-\u043d \u0429\u0443\u043a\u0438\u043d \u041f\u0451\u0442\u0440 \u0418\u043b\u044c\u0438\u0447"}`,
		},
		"event": {
			Event{"2024-01-02 03:04:05", "-6415", "https://www.ooo.net/tag/postsindex.jsp", "click"}.AppendJSON(nil),
			`{"event_timestamp": "2024-01-02 03:04:05", "user_id": "-6415", "page": "https://www.ooo.net/tag/postsindex.jsp", "event": "click"}`,
		},
		"none":     {AppendJSON(nil), `{}`},
		"appended": {AppendJSON([]byte("x"), Field{"a", "b"}), `x{"a": "b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if string(tc.got) != tc.want {
				t.Errorf("got  %s\nwant %s", tc.got, tc.want)
			}
		})
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("user_id", "-6415")
	f.Add("имя", "😀\x7f\x00\"\\")
	f.Add("\xff\xc3", "\xed\xa0\x80") // invalid, and a surrogate in UTF-8's clothing
	f.Fuzz(func(t *testing.T, name, value string) {
		text := AppendJSON(nil, Field{name, value})
		for _, b := range text {
			if b < ' ' || b > '~' {
				t.Fatalf("byte %#x in %q is not printable ASCII", b, text)
			}
		}
		var got map[string]string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		// Through runes and back, invalid bytes are what both sides make of them.
		name, value = string([]rune(name)), string([]rune(value))
		if len(got) != 1 || got[name] != value {
			t.Fatalf("got %q, want %q: %q", got, name, value)
		}
	})
}
