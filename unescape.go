package timpush

import (
	"encoding/hex"
	"html"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	// plainStars undoes the escape that some give in a query to the one letter of a UserSig that can have one.
	plainStars = strings.NewReplacer("%2A", "*", "%2a", "*")

	// jsonEscapes are those of characters by their numbers, and jsonMarks those of characters that stand for themselves. Where JSON stands in
	// JSON each has more than one backslash.
	jsonEscapes = regexp.MustCompile(`(?:\\+u[0-9a-fA-F]{4})+`)
	jsonMarks   = regexp.MustCompile(`\\+(["'/])|\\*(\\)`)

	// otherEscapes are those of bytes in URLs, and of bytes and characters in what some languages print.
	otherEscapes = regexp.MustCompile(`(?:(?:%|\\x)[0-9a-fA-F]{2})+|\\U[0-9a-fA-F]{8}|\\[ux]\{[0-9a-fA-F]{1,6}\}`)
	byteMarks    = strings.NewReplacer("%", "", `\x`, "")

	// octalEscapes are those of bytes in C, and in protobuf, of which services print messages. A value may have a backslash before digits.
	octalEscapes = regexp.MustCompile(`\\[0-3][0-7]{2}`)
)

func unescapeOctal(escape string) string {
	n, _ := strconv.ParseUint(escape[1:], 8, 8)
	return string([]byte{byte(n)})
}

// unescapeOther returns the characters of the escapes of bytes in a row, or that of another escape. Bytes that are not UTF-8 are characters of
// Latin-1: Python means that by an escape with two digits.
func unescapeOther(escapes string) string {
	if escapes[0] != '%' && (escapes[1] != 'x' || escapes[2] == '{') {
		n, _ := strconv.ParseUint(strings.Trim(escapes, `\xuU{}`), 16, 32)
		return string(rune(n))
	}
	var out strings.Builder
	text, _ := hex.DecodeString(byteMarks.Replace(escapes))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			r = rune(text[0])
		}
		out.WriteRune(r)
		text = text[n:]
	}
	return out.String()
}

// plain returns a text in which what was sent is looked for, without escapes that may be written in many ways.
func plain(text string) string {
	if strings.Contains(text, "%2") { // most have nothing to undo, and to look for it first costs less
		text = plainStars.Replace(text)
	}
	if !strings.Contains(text, `\`) {
		return text
	}
	text = jsonEscapes.ReplaceAllStringFunc(text, func(escapes string) string {
		var units []uint16
		for _, digits := range strings.Split(escapes, "u")[1:] {
			unit, _ := strconv.ParseUint(digits[:4], 16, 16)
			units = append(units, uint16(unit))
		}
		return string(utf16.Decode(units))
	})
	return jsonMarks.ReplaceAllString(text, "$1$2")
}

// withoutEscapes yields a plain text as it is, without the escapes of HTML and of URLs, and without those that were within these. The later
// ones may be other texts than were meant, and so are shown only if they have what was sent.
func withoutEscapes(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range 3 {
			if !yield(text) || !strings.ContainsAny(text, `&%\`) {
				return
			}
			if octalEscapes.MatchString(text) && !yield(octalEscapes.ReplaceAllStringFunc(text, unescapeOctal)) {
				return
			}
			undone := plain(otherEscapes.ReplaceAllStringFunc(html.UnescapeString(text), unescapeOther))
			if undone == text {
				return
			}
			text = undone
		}
	}
}
