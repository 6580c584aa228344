package codecs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/schemas"
)

// judge says independently of the decoder what is to become of a record: jsontext knows what well-formed JSON is, and a
// JSON Schema library what the schema means.
type judge struct {
	schema   *jsonschema.Schema
	required []string
}

// limits in bytes, written down a second time on purpose.
var limits = map[string]int{"user_id": 4096, "event": 4096, "name": 262144, "email": 262144}

func newJudge(tb testing.TB, text string) *judge {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		tb.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return &judge{schema, schema.Required}
}

var errDeep = errors.New("deeper than 1,000")

// readValue builds what the library validates. Of a name given twice the last stays. Numbers stay text.
func readValue(d *jsontext.Decoder) (any, error) {
	tok, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	if d.StackDepth() > 1000 {
		return nil, errDeep
	}
	switch tok.Kind() {
	case '{':
		object := map[string]any{}
		for d.PeekKind() != '}' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String() // tokens live until the next read
			if object[key], err = readValue(d); err != nil {
				return nil, err
			}
		}
		_, err := d.ReadToken()
		return object, err
	case '[':
		array := []any{}
		for d.PeekKind() != ']' {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			array = append(array, v)
		}
		_, err := d.ReadToken()
		return array, err
	case '"':
		return tok.String(), nil
	case '0':
		return json.Number(tok.String()), nil
	case 'n':
		return nil, nil
	default:
		return tok.Bool(), nil
	}
}

// judge returns the reason to reject the value, or the required fields.
func (j *judge) judge(tb testing.TB, in []byte) (codecs.Reason, map[string]string) {
	d := jsontext.NewDecoder(bytes.NewReader(in), jsontext.AllowDuplicateNames(true))
	doc, err := readValue(d)
	if err == errDeep {
		return codecs.TooDeep, nil
	}
	if err == nil {
		if _, err = d.ReadToken(); err == io.EOF {
			err = nil
		} else if err == nil {
			err = errors.New("trailing text")
		}
	}
	if err != nil {
		return codecs.NotJSON, nil
	}
	invalid := j.schema.Validate(doc)
	object, ok := doc.(map[string]any)
	var reason codecs.Reason
	got := map[string]string{}
	if !ok {
		reason = codecs.WrongType
	}
	for _, name := range j.required {
		if v, ok := object[name]; !ok && reason == "" {
			reason = codecs.MissingField
		} else if got[name], ok = v.(string); !ok && reason == "" {
			reason = codecs.WrongType
		}
	}
	if (invalid == nil) != (reason == "") {
		tb.Fatalf("the judge contradicts the schema on %.300q: %q, %v", in, reason, invalid)
	}
	if reason == "" {
		for name, s := range got {
			if limit, ok := limits[name]; ok && len(s) > limit {
				reason = codecs.TooLarge
			}
		}
	}
	return reason, got
}

// compare holds the decoder against the judge.
func (j *judge) compare(tb testing.TB, in []byte, decode func([]byte) (map[string]string, error)) (accepted bool) {
	tb.Helper()
	before := bytes.Clone(in)
	reason, want := j.judge(tb, in)
	got, err := decode(in)
	if !bytes.Equal(in, before) {
		tb.Fatalf("decoder changed %.2000q", before)
	}
	var gotReason codecs.Reason
	if err != nil {
		re, ok := errors.AsType[*codecs.RejectError](err)
		if !ok {
			tb.Fatalf("error %v is no *RejectError", err)
		}
		gotReason = re.Reason
	}
	if gotReason != reason {
		tb.Fatalf("decoder says %v, want %q\n%.2000q", err, reason, in)
	}
	for name, s := range got {
		if diff := cmp.Diff(want[name], s); diff != "" {
			tb.Fatalf("%s: %s\n%.2000q", name, diff, in)
		}
	}
	return err == nil
}

func decodeUser(d *codecs.Decoder) func([]byte) (map[string]string, error) {
	return func(in []byte) (map[string]string, error) {
		u, err := d.User(in)
		if err != nil {
			return nil, err
		}
		return map[string]string{"user_id": string(u.UserID), "name": string(u.Name), "email": string(u.Email)}, nil
	}
}

func decodeEvent(d *codecs.Decoder) func([]byte) (map[string]string, error) {
	return func(in []byte) (map[string]string, error) {
		e, err := d.Event(in)
		if err != nil {
			return nil, err
		}
		return map[string]string{"user_id": string(e.UserID), "event": string(e.Event)}, nil
	}
}

func seeds(f *testing.F, record string) {
	f.Add([]byte(record))
	for _, members := range []string{
		`"user_id": 1`, `"\u0075ser_id": "\ud83d\ude00\/\n"`, `"user_id": "\ud83d"`, `"event": null, "name": null`,
		`"a": [1.5e-3, -0, true, false, null, {"b": []}, {}, "я"]`, `"a": 01`, `"a": [1,]`, "\"a\": \"\xff\"", "\"a\": \"\t\"",
		`"name": "` + strings.Repeat(`\u0410`, 20) + `", "event": "12345678\"12345678"`,
		`"user_id": "` + strings.Repeat("x", 4097) + `"`,
		`"a": ` + strings.Repeat("[", 999) + strings.Repeat("]", 999),
		`"a": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
	} {
		f.Add([]byte(with(record, members)))
	}
	for _, in := range []string{"", " ", "null", "[]", `""`, "0", "\ufeff{}", "{} {}", "{", "[", `{"`, `{"a":`, `{"a":0`, `"\`} {
		f.Add([]byte(in))
	}
}

func FuzzDecodeUser(f *testing.F) {
	seeds(f, user)
	j := newJudge(f, schemas.User())
	f.Fuzz(func(t *testing.T, in []byte) {
		j.compare(t, in, decodeUser(new(codecs.Decoder)))
	})
}

func FuzzDecodeEvent(f *testing.F) {
	seeds(f, event)
	j := newJudge(f, schemas.Event())
	f.Fuzz(func(t *testing.T, in []byte) {
		j.compare(t, in, decodeEvent(new(codecs.Decoder)))
	})
}

// maker makes records of all sorts: mostly sound ones, with something odd here and there, and broken now and then.
type maker struct {
	*rand.Rand
	out bytes.Buffer
}

func (m *maker) pick(options ...string) string { return options[m.IntN(len(options))] }

func (m *maker) space() {
	if m.IntN(4) == 0 {
		m.out.WriteString(m.pick(" ", "\n", "\t", "\r", "  \t"))
	}
}

func (m *maker) text(s string) {
	m.out.WriteByte('"')
	for _, r := range s {
		switch {
		case m.IntN(30) == 0 && r < 0x10000:
			fmt.Fprintf(&m.out, m.pick(`\u%04x`, `\u%04X`), r)
		case r < ' ' || r == '"' || r == '\\':
			b, _ := json.Marshal(string(r))
			m.out.Write(b[1 : len(b)-1])
		default:
			m.out.WriteRune(r)
		}
	}
	m.out.WriteByte('"')
}

func (m *maker) word() string {
	var s strings.Builder
	for range m.IntN(14) {
		s.WriteString(m.pick("a", "7", "-", "\"", "\\", "/", "é", "Ж", "€", "😀", "\x00", "\n", "\x7f", "\ufeff", "\ufffd", "click-click"))
	}
	return s.String()
}

func (m *maker) value(depth int) {
	m.space()
	defer m.space()
	n := m.IntN(24)
	if depth > 5 {
		n = m.IntN(14)
	}
	switch {
	case n < 6:
		m.text(m.word())
	case n < 9:
		m.out.WriteString(m.pick("0", "-0", "1", "-12", "3.14", "1e5", "-2.5E-7", "1e999", "1234567890123456789012"))
	case n < 13:
		m.out.WriteString(m.pick("true", "false", "null"))
	case n < 14:
		m.out.WriteString(m.pick("01", "-", "1.", ".5", "+1", "NaN", "nul", "1e", "'a'", `"\x"`, `"\ud800"`, `"\ude00\ud83d"`, "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
			`"\u00"`, "\"\t\"", "{]", "[1,]", `{"a":1,}`, "\ufeff1", "/**/1", `"a`, strings.Repeat("[", 995+m.IntN(10))))
	case n < 15:
		deep := 990 + m.IntN(20)
		m.out.WriteString(strings.Repeat("[", deep) + strings.Repeat("]", deep))
	case n < 20:
		m.out.WriteByte('[')
		for k := range m.IntN(4) {
			if k > 0 {
				m.out.WriteByte(',')
			}
			m.value(depth + 1)
		}
		m.out.WriteByte(']')
	default:
		m.object(depth+1, nil)
	}
}

func (m *maker) object(depth int, required []string) {
	names := append([]string(nil), required...)
	for range m.IntN(3) {
		names = append(names, m.pick("user_id", "event", "name", "email", "User_id", "a", "", m.word()))
	}
	m.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	m.out.WriteByte('{')
	m.space()
	for k, name := range names {
		if k > 0 {
			m.out.WriteByte(',')
			m.space()
		}
		m.text(name)
		m.space()
		m.out.WriteByte(':')
		switch {
		case depth > 0 || m.IntN(12) == 0:
			m.value(depth)
		case m.IntN(60) == 0:
			m.space()
			m.text(strings.Repeat(m.pick("x", "Ж", "\n"), 4090+m.IntN(12)))
		default:
			m.space()
			m.text(m.word())
			m.space()
		}
	}
	m.out.WriteByte('}')
}

func (m *maker) record(required []string) []byte {
	m.out.Reset()
	m.space()
	if m.IntN(30) == 0 {
		m.value(0)
	} else {
		m.object(0, required[m.IntN(40)/39:])
	}
	m.space()
	b := bytes.Clone(m.out.Bytes())
	if m.IntN(3) == 0 {
		for range 1 + m.IntN(2) {
			at := m.IntN(len(b) + 1)
			to := min(len(b), at+m.IntN(4))
			insert := m.pick("", "", "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "0", "\\u", "\\ud83d", "\x00", "\x80", "\xf0\x9f", "\ufeff", "é", "null", "e", "-")
			b = bytes.Join([][]byte{b[:at], []byte(insert), b[to:]}, nil)
		}
	}
	return b
}

// For a second, made-up records against the judge. One decoder goes through all of them, so that what it keeps from one
// record to the next is tested too.
func TestDecodeAgainstSchema(t *testing.T) {
	var d codecs.Decoder
	seed := rand.Uint64()
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 0))}
	users, events := newJudge(t, schemas.User()), newJudge(t, schemas.Event())
	made, accepted := 0, 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		for range 50 {
			made += 2
			if users.compare(t, m.record(users.required), decodeUser(&d)) {
				accepted++
			}
			if events.compare(t, m.record(events.required), decodeEvent(&d)) {
				accepted++
			}
		}
	}
	t.Logf("seed %d: %d of %d records accepted", seed, accepted, made)
	if accepted < made/10 || accepted > made*9/10 {
		t.Errorf("accepted %d of %d records: the maker tests one side only", accepted, made)
	}
}
