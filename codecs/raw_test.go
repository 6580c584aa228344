package codecs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/potok-streams/potok/codecs"
)

// user and event are valid records; with adds members at the end of an object.
const (
	user  = `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "-12", "email": "a@example.org", "name": "Anna"}`
	event = `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "-12", "page": "https://example.com/a", "event": "click"}`
)

func with(record string, members string) string { return record[:len(record)-1] + ", " + members + "}" }

func TestDecodeValid(t *testing.T) {
	type want struct{ userID, event string }
	long := strings.Repeat("я", codecs.MaxIDBytes/2)
	for name, tc := range map[string]struct {
		in   string
		want want
	}{
		"as json.dumps writes it":       {event, want{"-12", "click"}},
		"compact":                       {strings.ReplaceAll(event, `": `, `":`), want{"-12", "click"}},
		"white space all around":        {"\t\r\n { \"event_timestamp\"\n:\r\"\"\t, \"user_id\" : \"u\" , \"page\" : \"\" , \"event\" : \"e\" } \r\n\t", want{"u", "e"}},
		"empty strings":                 {`{"event_timestamp":"","user_id":"","page":"","event":""}`, want{"", ""}},
		"any order":                     {`{"event":"e","page":"","user_id":"u","event_timestamp":""}`, want{"u", "e"}},
		"given twice":                   {with(event, `"user_id": "u", "event": "e"`), want{"u", "e"}},
		"wrong, then right":             {`{"user_id": 1, "event": {"a": []}, "page": null, ` + event[1:], want{"-12", "click"}},
		"twice, escaped the other time": {with(event, `"us\u0065r_id": "u"`), want{"u", "click"}},
		"escaped names":                 {`{"\u0065vent_timestamp":"","user\u005fid":"u","\u0070\u0061\u0067\u0065":"","e\u0076ent":"e"}`, want{"u", "e"}},
		"every escape":                  {with(event, `"user_id": "\"\\\/\b\f\n\r\t\u0041\u00e9\u044F\u20ac\ud83d\ude00\uD83D\uDE00"`), want{"\"\\/\b\f\n\r\tAéя€😀😀", "click"}},
		"escapes in both":               {with(event, `"user_id": "\u0041-\u0042-", "event": "-\n-"`), want{"A-B-", "-\n-"}},
		"escaped NUL":                   {with(event, `"user_id": "\u0000", "event": "a\u0000b"`), want{"\x00", "a\x00b"}},
		"raw UTF-8":                     {with(event, `"user_id": "Жé€😀", "event": "\ufffd`+"\ufffd\ufeff\uffff\x7f\u2028"+`"`), want{"Жé€😀", "\ufffd\ufffd\ufeff\uffff\x7f\u2028"}},
		"escape of a noncharacter":      {with(event, `"user_id": "\uffff\ufffe\ufeff"`), want{"\uffff\ufffe\ufeff", "click"}},
		"goka's own key":                {with(event, `"user_id": "__offset"`), want{"__offset", "click"}},
		"longest":                       {with(event, `"user_id": "`+long+`", "event": "`+strings.Repeat(`\u0041`, codecs.MaxIDBytes)+`"`), want{long, strings.Repeat("A", codecs.MaxIDBytes)}},
		"page and time have no limit":   {with(event, `"page": "`+strings.Repeat("x", 1<<20)+`", "event_timestamp": "`+strings.Repeat(`\n`, 1<<19)+`"`), want{"-12", "click"}},
		"too long, then right":          {`{"user_id": "` + strings.Repeat("x", 5000) + `", ` + event[1:], want{"-12", "click"}},
		"further fields": {
			with(event, `"a": null, "b": [true, false, [], {}, [{"user_id": 1}]], "User_ID": 1, "userid": 1, "user_id ": 1, "": "", "c": {"event": 2}`),
			want{"-12", "click"},
		},
		"every kind of number": {with(event, `"a": [0, -0, 1, -12, 0.5, 10.25, 1e5, 1E+5, 1.5e-300, 1e999999999, 123456789012345678901234567890]`), want{"-12", "click"}},
		"deepest array":        {with(event, `"a": `+strings.Repeat("[", codecs.MaxDepth-1)+strings.Repeat("]", codecs.MaxDepth-1)), want{"-12", "click"}},
		"deepest object":       {with(event, `"a": `+strings.Repeat(`{"a":`, codecs.MaxDepth-1)+"1"+strings.Repeat("}", codecs.MaxDepth-1)), want{"-12", "click"}},
		"deep and shallow":     {with(event, `"a": [`+strings.Repeat(`[[]],`, 5000)+`{}]`), want{"-12", "click"}},
	} {
		t.Run(name, func(t *testing.T) {
			var d codecs.Decoder
			for range 2 { // nothing may be left over from the first time
				got, err := d.Event([]byte(tc.in))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, want{string(got.UserID), string(got.Event)}, cmp.AllowUnexported(want{})); diff != "" {
					t.Fatal(diff)
				}
			}
		})
	}
}

func TestDecodeValidUser(t *testing.T) {
	type want struct{ userID, name, email string }
	long := strings.Repeat("n", codecs.MaxNameBytes)
	for name, tc := range map[string]struct {
		in   string
		want want
	}{
		"plain":          {user, want{"-12", "Anna", "a@example.org"}},
		"escaped":        {with(user, `"name": "\u0410\u043d\u043d\u0430 \u042f", "email": "\u0061@b"`), want{"-12", "Анна Я", "a@b"}},
		"all escaped":    {with(user, `"name": "\u0410", "email": "\n", "user_id": "\t"`), want{"\t", "А", "\n"}},
		"longest":        {with(user, `"name": "`+long+`", "email": "\n`+long[1:]+`"`), want{"-12", long, "\n" + long[1:]}},
		"empty":          {`{"event_timestamp":"","user_id":"","email":"","name":""}`, want{}},
		"event's fields": {with(user, `"event": 1, "page": null`), want{"-12", "Anna", "a@example.org"}},
	} {
		t.Run(name, func(t *testing.T) {
			var d codecs.Decoder
			for range 2 {
				got, err := d.User([]byte(tc.in))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, want{string(got.UserID), string(got.Name), string(got.Email)}, cmp.AllowUnexported(want{})); diff != "" {
					t.Fatal(diff)
				}
			}
		})
	}
}

// reject is what a test expects of an error: what errors.Is says of it, and its text after the reason.
type reject struct {
	is     error
	detail string
}

func (r reject) check(t *testing.T, err error) {
	t.Helper()
	for _, sentinel := range []error{codecs.ErrNotJSON, codecs.ErrWrongType, codecs.ErrMissingField, codecs.ErrTooLarge, codecs.ErrTooDeep} {
		if got := errors.Is(fmt.Errorf("wrapped: %w", err), sentinel); got != (sentinel == r.is) {
			t.Errorf("error %v: errors.Is says %v for %v", err, got, sentinel)
		}
	}
	re, ok := errors.AsType[*codecs.RejectError](err)
	if !ok {
		t.Fatalf("error %v is no *RejectError", err)
	}
	if re.Detail != r.detail {
		t.Errorf("detail is %q, want %q", re.Detail, r.detail)
	}
	if all := codecs.Reasons(); !slices.Contains(all[:], re.Reason) {
		t.Errorf("reason %s is not one of %s", re.Reason, all)
	}
}

func TestDecodeInvalid(t *testing.T) {
	const zero = `{"z": ` // what the malformed values below are put in, so that positions count from 6
	malformed := map[string]reject{}
	add := func(value, what string, at int) {
		malformed[zero+value+", "+event[1:]] = reject{codecs.ErrNotJSON, fmt.Sprintf("%s at byte %d", what, len(zero)+at)}
	}
	for value, at := range map[string]int{
		"NaN": 0, "Infinity": 0, "-Infinity": -1, "+1": 0, ".5": 0, "nul": 0, "True": 0, "tru": 0, "undefined": 0, "'a'": 0,
		"[1,]": 3, "[,1]": 1, "/* c */ 1": 0, "// c\n1": 0, "[\ufeff]": 1, "\u00a01": 0, "\v1": 0, "\x001": 0, "\xff": 0,
	} {
		if at >= 0 {
			add(value, "no JSON value", at)
		}
	}
	for _, value := range []string{"-", "-Infinity", "-a", "1.", "1.e5", "-.5", "1e", "1e+", "1E-", "0.", "1.5e"} {
		add(value, "bad number", 0)
	}
	for _, value := range []string{"01", "-01", "00", "-00.5"} {
		add(value, "number with a leading zero", 0)
	}
	for value, at := range map[string]int{"1.2.3": 3, "nullx": 4, "0x10": 1, "1e5.5": 3, `"a""b"`: 3, "[1 2]": 3, "[1}": 2, `{"a":1]`: 6, "1 \ufeff": 2, "1_000": 1} {
		add(value, "no comma or closing bracket after a value", at)
	}
	for value, at := range map[string]int{"{,}": 1, `{"a":1,}`: 7, "{a:1}": 1, "{'a':1}": 1, "{1:1}": 1, "{null:1}": 1, "{{}:1}": 1} {
		add(value, "no field name in quotes", at)
	}
	for value, at := range map[string]int{`{"a"}`: 4, `{"a",1}`: 4, `{"a" 1}`: 5, `{"a";1}`: 4} {
		add(value, "no colon after a field name", at)
	}
	for _, quoted := range []string{"%s", "1234567%s", "12345678%s", "123456789%sxyzxyzxy", "я%s", "%s€"} {
		at := 1 + strings.Index(quoted, "%s")
		str := func(s string) string { return `"` + fmt.Sprintf(quoted, s) + `"` }
		for _, s := range []string{"\n", "\t", "\x00", "\x1f", "\r"} {
			add(str(s), "raw control character in a string", at)
		}
		for _, s := range []string{`\x`, `\'`, `\0`, `\U0041`, `\u`, `\u00g0`, `\u004`, `\u+041`, `\u 041`, "\\я", "\\\xff", "\\\n"} {
			add(str(s), "bad escape in a string", at)
		}
		for _, s := range []string{`\ud800`, `\udfff`, `\uDBFF\u0041`, `\ud800\ud800`, `\udc00\ud800`, `\ud800\n`, `\ud800x`, `\ud800\udc0`, `\ud83d\uDE0g`} {
			add(str(s), "lone surrogate escape in a string", at)
		}
		// Not UTF-8: stray and missing continuation bytes, overlong forms, surrogates, beyond the last code point.
		for _, s := range []string{"\x80", "\xff", "\xc3", "\xe2\x82", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x9f\x98", "\xfe"} {
			add(str(s), "invalid UTF-8 in a string", at)
		}
	}
	for in, want := range malformed {
		t.Run("malformed", func(t *testing.T) {
			t.Logf("input: %.60q", in)
			_, err := new(codecs.Decoder).Event([]byte(in))
			want.check(t, err)
		})
	}

	for name, tc := range map[string]struct {
		in   string
		want reject
	}{
		"empty":                         {"", reject{codecs.ErrNotJSON, "value is empty"}},
		"blank":                         {" \n", reject{codecs.ErrNotJSON, "text ends where a value should start at byte 2"}},
		"byte order mark":               {"\ufeff" + event, reject{codecs.ErrNotJSON, "no JSON value at byte 0"}},
		"byte order mark at the end":    {"{}\ufeff", reject{codecs.ErrNotJSON, "text goes on after the value at byte 2"}},
		"UTF-16":                        {"\xff\xfe{\x00}\x00", reject{codecs.ErrNotJSON, "no JSON value at byte 0"}},
		"two values":                    {"{} {}", reject{codecs.ErrNotJSON, "text goes on after the value at byte 3"}},
		"closed twice":                  {"{}}", reject{codecs.ErrNotJSON, "text goes on after the value at byte 2"}},
		"NUL at the end":                {"{}\x00", reject{codecs.ErrNotJSON, "text goes on after the value at byte 2"}},
		"not closed":                    {"{", reject{codecs.ErrNotJSON, "no field name in quotes at byte 1"}},
		"array not closed":              {"[", reject{codecs.ErrNotJSON, "text ends where a value should start at byte 1"}},
		"ends after a name":             {`{"a"`, reject{codecs.ErrNotJSON, "no colon after a field name at byte 4"}},
		"ends after a colon":            {`{"a":`, reject{codecs.ErrNotJSON, "text ends where a value should start at byte 5"}},
		"ends after a value":            {`{"a":1`, reject{codecs.ErrNotJSON, "text ends inside an object or array at byte 6"}},
		"ends after a comma":            {`{"a":1,`, reject{codecs.ErrNotJSON, "no field name in quotes at byte 7"}},
		"ends in a name":                {`{"a`, reject{codecs.ErrNotJSON, "text ends inside a string at byte 3"}},
		"ends in a string":              {`{"a":"12345678`, reject{codecs.ErrNotJSON, "text ends inside a string at byte 14"}},
		"ends in an escape":             {`{"a":"\`, reject{codecs.ErrNotJSON, "bad escape in a string at byte 6"}},
		"only a number":                 {"12", reject{codecs.ErrWrongType, "value is not an object"}},
		"only a string":                 {`"user_id"`, reject{codecs.ErrWrongType, "value is not an object"}},
		"only null":                     {" null ", reject{codecs.ErrWrongType, "value is not an object"}},
		"only an array":                 {"[" + event + "]", reject{codecs.ErrWrongType, "value is not an object"}},
		"bad array":                     {"[" + event + ",]", reject{codecs.ErrNotJSON, fmt.Sprintf("no JSON value at byte %d", len(event)+2)}},
		"empty object":                  {"{}", reject{codecs.ErrMissingField, "no field event_timestamp"}},
		"no user_id":                    {strings.Replace(event, "user_id", "user_ID", 1), reject{codecs.ErrMissingField, "no field user_id"}},
		"name with a blank":             {strings.Replace(event, "user_id", "user_id ", 1), reject{codecs.ErrMissingField, "no field user_id"}},
		"no page":                       {strings.Replace(event, "page", "Page", 1), reject{codecs.ErrMissingField, "no field page"}},
		"no event":                      {strings.Replace(event, `"event"`, `"even"`, 1), reject{codecs.ErrMissingField, "no field event"}},
		"field one level down":          {`{"user_id": "u", "a": ` + event + `}`, reject{codecs.ErrMissingField, "no field event_timestamp"}},
		"fields in an array":            {`{"a": [` + event + `]}`, reject{codecs.ErrMissingField, "no field event_timestamp"}},
		"null":                          {with(event, `"user_id": null`), reject{codecs.ErrWrongType, "user_id is not a string"}},
		"number":                        {with(event, `"user_id": -12`), reject{codecs.ErrWrongType, "user_id is not a string"}},
		"boolean":                       {with(event, `"page": true`), reject{codecs.ErrWrongType, "page is not a string"}},
		"array":                         {with(event, `"event": ["click"]`), reject{codecs.ErrWrongType, "event is not a string"}},
		"empty array":                   {with(event, `"event": []`), reject{codecs.ErrWrongType, "event is not a string"}},
		"object":                        {with(event, `"event_timestamp": {"event_timestamp": ""}`), reject{codecs.ErrWrongType, "event_timestamp is not a string"}},
		"empty object in a field":       {with(event, `"event_timestamp": { }`), reject{codecs.ErrWrongType, "event_timestamp is not a string"}},
		"right, then wrong, escaped":    {with(event, `"\u0075ser_id": 1`), reject{codecs.ErrWrongType, "user_id is not a string"}},
		"user_id too long":              {with(event, `"user_id": "`+strings.Repeat("x", 4097)+`"`), reject{codecs.ErrTooLarge, "user_id has 4097 bytes, more than 4096"}},
		"event too long":                {with(event, `"event": "`+strings.Repeat(`\u044f`, 2049)+`"`), reject{codecs.ErrTooLarge, "event has 4098 bytes, more than 4096"}},
		"1,001 arrays":                  {with(event, `"a": `+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)), reject{codecs.ErrTooDeep, fmt.Sprintf("nesting is deeper than 1000 at byte %d", len(event)+6+999)}},
		"1,001 objects":                 {strings.Repeat(`{"a":`, 1000) + "{}" + strings.Repeat("}", 1000), reject{codecs.ErrTooDeep, "nesting is deeper than 1000 at byte 5000"}},
		"10,000 deep":                   {strings.Repeat("[", 10000) + strings.Repeat("]", 10000), reject{codecs.ErrTooDeep, "nesting is deeper than 1000 at byte 1000"}},
		"a megabyte of [":               {strings.Repeat("[", 1<<20), reject{codecs.ErrTooDeep, "nesting is deeper than 1000 at byte 1000"}},
		"too deep, then malformed":      {strings.Repeat("[", 1001) + "x", reject{codecs.ErrTooDeep, "nesting is deeper than 1000 at byte 1000"}},
		"malformed, then too deep":      {"[x" + strings.Repeat("[", 1001), reject{codecs.ErrNotJSON, "no JSON value at byte 1"}},
		"malformed before missing":      {`{"user_id": 1,}`, reject{codecs.ErrNotJSON, "no field name in quotes at byte 14"}},
		"malformed before wrong type":   {`[1] 2`, reject{codecs.ErrNotJSON, "text goes on after the value at byte 4"}},
		"missing before a later wrong":  {`{"event_timestamp": "", "event": 1}`, reject{codecs.ErrMissingField, "no field user_id"}},
		"wrong before a later missing":  {`{"user_id": 1, "event_timestamp": ""}`, reject{codecs.ErrWrongType, "user_id is not a string"}},
		"wrong type before large":       {with(event, `"user_id": "`+strings.Repeat("x", 5000)+`", "event": 1`), reject{codecs.ErrWrongType, "event is not a string"}},
		"user_id before event":          {with(event, `"event": "`+strings.Repeat("x", 5000)+`", "user_id": "`+strings.Repeat("x", 6000)+`"`), reject{codecs.ErrTooLarge, "user_id has 6000 bytes, more than 4096"}},
		"bad UTF-8 in a name":           {with(event, "\"\xff\": 1"), reject{codecs.ErrNotJSON, fmt.Sprintf("invalid UTF-8 in a string at byte %d", len(event)+2)}},
		"bad UTF-8 in a page":           {with(event, "\"page\": \"\xe2\x28\xa1\""), reject{codecs.ErrNotJSON, fmt.Sprintf("invalid UTF-8 in a string at byte %d", len(event)+10)}},
		"lone surrogate in a name":      {with(event, `"\ud800": 1`), reject{codecs.ErrNotJSON, fmt.Sprintf("lone surrogate escape in a string at byte %d", len(event)+2)}},
		"bad value of an earlier twice": {`{"user_id": "\ud800", ` + event[1:], reject{codecs.ErrNotJSON, "lone surrogate escape in a string at byte 13"}},
	} {
		t.Run(name, func(t *testing.T) {
			var d codecs.Decoder
			for range 2 {
				_, err := d.Event([]byte(tc.in))
				tc.want.check(t, err)
				if got, err := d.Event([]byte(event)); err != nil || string(got.UserID) != "-12" || string(got.Event) != "click" {
					t.Errorf("valid record after a rejected one: %s, %v", got, err)
				}
			}
		})
	}

	t.Run("null value", func(t *testing.T) {
		_, err := new(codecs.Decoder).Event(nil)
		reject{codecs.ErrNotJSON, "value is null"}.check(t, err)
		_, err = new(codecs.Decoder).User(nil)
		reject{codecs.ErrNotJSON, "value is null"}.check(t, err)
	})
}

func TestDecodeInvalidUser(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want reject
	}{
		"event":             {event, reject{codecs.ErrMissingField, "no field email"}},
		"email before name": {`{"event_timestamp": "", "user_id": "", "name": 1}`, reject{codecs.ErrMissingField, "no field email"}},
		"no name":           {strings.Replace(user, "name", "Name", 1), reject{codecs.ErrMissingField, "no field name"}},
		"email null":        {with(user, `"email": null`), reject{codecs.ErrWrongType, "email is not a string"}},
		"name too long":     {with(user, `"name": "`+strings.Repeat("n", 256<<10+1)+`"`), reject{codecs.ErrTooLarge, "name has 262145 bytes, more than 262144"}},
		"email too long":    {with(user, `"email": "`+strings.Repeat(`\n`, 256<<10+1)+`"`), reject{codecs.ErrTooLarge, "email has 262145 bytes, more than 262144"}},
		"user_id too long":  {with(user, `"user_id": "`+strings.Repeat("n", 4097)+`"`), reject{codecs.ErrTooLarge, "user_id has 4097 bytes, more than 4096"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := new(codecs.Decoder).User([]byte(tc.in))
			tc.want.check(t, err)
		})
	}
}

// What is rejected must not tell what was in the record: errors are logged.
func TestRejectErrorKeepsUserData(t *testing.T) {
	const secret = "anna"
	for _, in := range []string{
		`{"event_timestamp": "anna", "user_id": "anna", "email": "anna", "name": "anna", "anna": anna}`,
		`{"event_timestamp": "anna", "user_id": "anna", "email": "anna", "name": ["anna"]}`,
		`{"event_timestamp": "anna", "user_id": "anna", "email": "anna", "anna": "anna"}`,
		`{"event_timestamp": "anna", "user_id": "` + strings.Repeat("anna", 2000) + `", "email": "anna", "name": "anna"}`,
		`anna`, `"anna"`, `"anna\`, `{anna`,
	} {
		_, err := new(codecs.Decoder).User([]byte(in))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error of %.60s is %v", in, err)
		}
	}
}

// The decoder may not write to the value, and a caller who appends to a result may not spoil the value or the others.
func TestDecodeAliasing(t *testing.T) {
	var d codecs.Decoder
	for _, in := range []string{user, with(user, `"user_id": "\u0041", "name": "\u0042", "email": "\u0043"`)} {
		value := []byte(in)
		got, err := d.User(value)
		if err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprintf("%s", got)
		_ = append(got.UserID, "xyz"...)
		_ = append(got.Email, "xyz"...)
		_ = append(got.Name, "xyz"...)
		if string(value) != in {
			t.Errorf("value became %s", value)
		}
		if after := fmt.Sprintf("%s", got); after != before {
			t.Errorf("result was %s, became %s", before, after)
		}
	}
}

func TestDecodeEmptyIsNotNil(t *testing.T) {
	var d codecs.Decoder
	u, err := d.User([]byte(`{"event_timestamp":"","user_id":"","email":"","name":""}`))
	if err != nil || u.UserID == nil || u.Name == nil || u.Email == nil {
		t.Errorf("got %#v, %v", u, err)
	}
}

func TestDecodeAllocations(t *testing.T) {
	var d codecs.Decoder
	for name, in := range records {
		value := []byte(in)
		decode := func() {
			var err error
			if strings.HasPrefix(name, "user") {
				_, err = d.User(value)
			} else {
				_, err = d.Event(value)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(50, decode); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
