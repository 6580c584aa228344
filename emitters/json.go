package emitters

import (
	"unicode/utf16"
)

// Field is a name and a value of a JSON object whose values are all strings.
type Field struct{ Name, Value string }

// AppendJSON appends the fields as a JSON object, in their order and byte for byte as Python's json.dumps writes a dict of
// strings by default: a blank after each colon and comma, and only printable ASCII, everything else escaped, with
// lower-case hexadecimal digits and surrogate pairs.
//
// Python's strings know no invalid UTF-8; here each invalid byte becomes U+FFFD, as with encoding/json.
func AppendJSON(dst []byte, fields ...Field) []byte {
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendString(dst, f.Name)
		dst = append(dst, ": "...)
		dst = appendString(dst, f.Value)
	}
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ' && r <= '~': // DEL is not printable: Python escapes it too
			dst = append(dst, byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r > 0xffff: // past what one escape can say
			hi, lo := utf16.EncodeRune(r)
			dst = appendEscape(appendEscape(dst, hi), lo)
		default:
			dst = appendEscape(dst, r)
		}
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}
