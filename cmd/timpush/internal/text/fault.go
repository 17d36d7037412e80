package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Trim removes from both ends white space, also one that does not break, and characters that have no width.
func Trim(text string) string { return strings.TrimFunc(text, invisible) }

func invisible(r rune) bool { return unicode.IsSpace(r) || zeroWidth(r) }

// zeroWidth reports whether a character only marks a place. Those that join letters are not among them: words need them.
func zeroWidth(r rune) bool {
	switch r {
	case '\u00ad', '\u061c', '\u200b', '\u200e', '\u200f', '\u2060', '\ufeff':
		return true
	}
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' // direction of writing: copied phone numbers have them
}

// NotUTF8 is the reason of a text in another encoding.
const NotUTF8 = "it is not UTF-8"

// Fault says why a text cannot be sent to the service, and at which byte, or "" if it can.
func Fault(text string) (reason string, at int) {
	plain := true
	for i := range len(text) {
		plain = plain && text[i]-1 < 0x7f // neither NUL nor the beginning of a longer character
	}
	if plain {
		return "", 0
	}
	for at, r := range text {
		switch {
		case r == 0:
			return "there is a NUL byte in it", at
		case r != utf8.RuneError:
		case strings.HasPrefix(text[at:], "\xed"):
			return "it has half of a character in UTF-16", at
		case !strings.HasPrefix(text[at:], "\ufffd"):
			return NotUTF8, at
		}
	}
	return "", 0
}

// AccountFault says why a text is not an account, and at which byte, or "" if it can be one. No account has characters that
// cannot be seen.
func AccountFault(text string) (reason string, at int) {
	if reason, at := Fault(text); reason != "" {
		return reason, at
	}
	at = strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) || zeroWidth(r) })
	if at < 0 {
		return "", 0
	}
	r, _ := utf8.DecodeRuneInString(text[at:])
	if zeroWidth(r) {
		return fmt.Sprintf("there is a character without width (%U) in it", r), at
	}
	return fmt.Sprintf("there is a control character (%U) in it", r), at
}
