package input

import (
	"bytes"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// isMeantAsUTF8 reports whether a text is in UTF-8 by its beginning, of which some places may be damaged. Some words of other encodings are valid
// UTF-8 as well: 女 of GBK is Ů. These have no character of three bytes, and are not more than the words that are not valid.
func isMeantAsUTF8(head []byte) bool {
	ascii := func(r rune) bool { return r < utf8.RuneSelf }
	head = bytes.TrimRightFunc(head, func(r rune) bool { return !ascii(r) }) // the last one may go on
	good, bad, places := map[string]bool{}, map[string]bool{}, 0
	for word := range bytes.FieldsFuncSeq(head, ascii) {
		switch {
		case !utf8.Valid(word):
			bad[string(word)] = true
			places++
		case bytes.ContainsFunc(word, func(r rune) bool { return r >= 0x800 }):
			return true
		default:
			good[string(word)] = true
		}
	}
	return places <= 1 || len(bad) < len(good)
}

// notGiven is the error of a file that is in another encoding than --encoding says.
func notGiven(encoding string) error {
	return flagErrorf("it is in %s, and not in the encoding of --encoding: leave that out", encoding)
}

// utf8Finder reads a text up to where it is in UTF-8 for certain, and not in the encoding that is given, in which it would be other letters.
type utf8Finder struct {
	r     io.Reader
	given encoding.Encoding
	seen  map[rune]bool // characters that are not ASCII, up to eight
	latin bool          // one of these is of Latin-1, as é is
	long  int           // how many of these have three bytes or more
	part  []byte        // of a character, at the end of what was read
	other bool          // it is not UTF-8
}

func (u *utf8Finder) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if u.finds(p[:n]) {
		return 0, notGiven(text.UTF8)
	}
	return n, err
}

// finds reports whether that is certain with the next part. Two bytes of GBK are often valid UTF-8 too, but hardly ever are several of its
// characters valid as those of three bytes, which Chinese has: two of these are enough, or eight of any length. Where a letter has one byte, two
// different characters are enough, and for western Europe one such as é, which would be Ã and a sign.
func (u *utf8Finder) finds(next []byte) bool {
	if u.other || u.given == unicode.UTF8 {
		return false
	}
	next = append(u.part, next...)
	for len(next) > 0 && utf8.FullRune(next) {
		r, size := utf8.DecodeRune(next)
		if u.other = r == utf8.RuneError && size == 1; u.other {
			return false
		}
		if r == '\ufeff' { // the byte order mark
			return true
		}
		if r >= utf8.RuneSelf && !u.seen[r] && len(u.seen) < 8 {
			if u.seen == nil {
				u.seen = map[rune]bool{}
			}
			u.seen[r], u.latin = true, u.latin || r < 0x100
			if size > 2 {
				u.long++
			}
		}
		next = next[size:]
	}
	u.part = append([]byte(nil), next...)
	letters, single := u.given.(*charmap.Charmap)
	if single {
		return len(u.seen) >= 2 || u.latin && letters.DecodeByte(0xc3) == 'Ã'
	}
	return len(u.seen) >= 8 || u.long >= 2
}
