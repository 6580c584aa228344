package verify

import (
	"fmt"
	"strings"
	"testing"
)

func TestEventOf(t *testing.T) {
	t.Parallel()
	valid := `{"event_timestamp": "x", "user_id": "u\u0031", "page": "", "event": "click"}`
	with := func(more string) string { return strings.TrimSuffix(valid, "}") + more }
	for name, tc := range map[string]struct {
		value string
		ok    bool
		user  string
	}{
		"valid":                  {valid, true, "u1"},
		"blanks around":          {" \t\r\n" + valid + "\n", true, "u1"},
		"more fields":            {with(`, "a": [1, {"user_id": 7}], "b": null}`), true, "u1"},
		"the last counts":        {with(`, "user_id": "v"}`), true, "v"},
		"the last is no text":    {with(`, "user_id": 7}`), false, ""},
		"text after all":         {with(`, "user_id": 7, "user_id": "w"}`), true, "w"},
		"empty id":               {with(`, "user_id": ""}`), true, ""},
		"largest id":             {with(`, "user_id": "` + strings.Repeat("я", 2048) + `"}`), true, strings.Repeat("я", 2048)},
		"too large":              {with(`, "user_id": "` + strings.Repeat("я", 2049) + `"}`), false, ""},
		"event too large":        {with(`, "event": "` + strings.Repeat("x", 4097) + `"}`), false, ""},
		"deep enough":            {with(`, "a": ` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + "}"), true, "u1"},
		"too deep":               {with(`, "a": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}"), false, ""},
		"nothing":                {"", false, ""},
		"null":                   {"null", false, ""},
		"array":                  {"[" + valid + "]", false, ""},
		"two values":             {valid + valid, false, ""},
		"text behind":            {valid + "x", false, ""},
		"cut off":                {valid[:len(valid)-1], false, ""},
		"byte order mark":        {"\ufeff" + valid, false, ""},
		"NaN":                    {with(`, "a": NaN}`), false, ""},
		"lone surrogate":         {with(`, "a": "\ud800"}`), false, ""},
		"not UTF-8":              {with(", \"a\": \"\xff\"}"), false, ""},
		"name in another case":   {strings.Replace(valid, "user_id", "User_ID", 1), false, ""},
		"name with an escape":    {strings.Replace(valid, "user_id", `user\u005fid`, 1), true, "u1"},
		"field missing":          {strings.Replace(valid, "page", "pages", 1), false, ""},
		"object in its place":    {with(`, "page": {"page": "x"}}`), false, ""},
		"names are not values":   {`{"event_timestamp": "user_id", "page": "event", "event": "user_id"}`, false, ""},
		"a number with a zero":   {with(`, "a": 01}`), false, ""},
		"control character":      {with(", \"a\": \"\n\"}"), false, ""},
		"a value that is a name": {with(`, "x": "user_id", "y": 7}`), true, "u1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, event, ok := eventOf([]byte(tc.value))
			if ok != tc.ok || user != tc.user || ok && event != "click" {
				t.Errorf("got %q, %q, %v, want %q, %v", user, event, ok, tc.user, tc.ok)
			}
		})
	}
}

func TestUserOf(t *testing.T) {
	t.Parallel()
	value := func(name string) []byte {
		return fmt.Appendf(nil, `{"event_timestamp": "x", "user_id": "u", "email": "e", "name": %q}`, name)
	}
	user, name, email, ok := userOf(value("Имя"))
	if user != "u" || name != "Имя" || email != "e" || !ok {
		t.Errorf("got %q, %q, %q, %v", user, name, email, ok)
	}
	if _, _, _, ok := userOf(value(strings.Repeat("x", 256<<10))); !ok {
		t.Error("the largest name is rejected")
	}
	if _, _, _, ok := userOf(value(strings.Repeat("x", 256<<10+1))); ok {
		t.Error("a name over the limit is let through")
	}
}
