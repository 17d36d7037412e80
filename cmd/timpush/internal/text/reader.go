// Package text reads text files as people and their programs write them: in UTF-8 or UTF-16, with or without a byte order
// mark, and with the line ends of Unix, Windows or the old Macintosh.
package text

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// The encodings that a Reader tells apart.
const (
	UTF8    = "UTF-8"
	UTF16LE = "UTF-16LE"
	UTF16BE = "UTF-16BE"
)

const (
	headSize  = 4096     // bytes that decide the encoding and the line ends
	chunkSize = 16 << 10 // bytes that are converted at a time
)

// Reader reads a text as UTF-8 without a byte order mark and with "\n" at the end of each line. What is not valid stays
// not valid, so that its place can be named: bytes that are not UTF-8 come as they are, and half of a surrogate pair as
// the three bytes that would encode it.
type Reader struct {
	src      *bufio.Reader
	encoding string
	cr       bool // a carriage return alone ends a line
	held     int  // carriage returns whose next byte is not known
	half     int  // first half of a surrogate pair in UTF-16, or 0
	pairs    pairs
	raw      []byte
	decoded  []byte
	out      []byte
	ready    []byte // the part of out that has not been read
	err      error
}

var (
	errUTF32  = errors.New("it is UTF-32: save it as UTF-8, or convert it: iconv -f UTF-32 -t UTF-8")
	errJoined = errors.New("a part of it is UTF-16 and another is not, as where files were joined: save each as UTF-8, and join them then")
	errHalf   = errors.New("its UTF-16 ends in the middle of a character: is the copy complete?")
	markUTF8  = []byte("\ufeff")
	markUTF32 = [][]byte{{0xff, 0xfe, 0, 0}, {0, 0, 0xfe, 0xff}}
)

// NewReader looks at the beginning of r and returns a Reader of all of it. A carriage return alone ends a line if the
// beginning has no other line end outside of quotation marks.
func NewReader(r io.Reader) (*Reader, error) {
	t := &Reader{src: bufio.NewReaderSize(r, chunkSize), raw: make([]byte, chunkSize)}
	head, err := t.src.Peek(headSize)
	if len(head) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if isUTF32(head) {
		return nil, errUTF32
	}
	if what := Packed(head[:min(len(head), PackedHead)]); what != "" {
		return nil, fmt.Errorf("it is compressed with %s, and no text: unpack it", what)
	}
	if bytes.HasPrefix(head, []byte("PAR1\x15")) { // some of its values would be on lines of their own
		return nil, errors.New("it is Parquet, and no text: write it as one")
	}
	skip := 0
	t.encoding, skip = encodingOf(head)
	t.cr = endsWithCR(t.decode(nil, head[skip:]))
	if t.pairs.joined {
		return nil, errJoined
	}
	t.half, t.pairs = 0, pairs{}
	_, err = t.src.Discard(skip)
	return t, err
}

// PackedHead is how many bytes at its beginning tell that a file is compressed.
const PackedHead = 10

// Zip is what [Packed] returns for archives, such as workbooks.
const Zip = "zip"

// Packed names the format of a compressed file by the first [PackedHead] bytes; "" if it is none.
func Packed(head []byte) string {
	for _, format := range [][2]string{
		{"\x1f\x8b", "gzip"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"PK\x03\x04", Zip}, {"\xfd7zXZ\x00", "xz"}, {"7z\xbc\xaf\x27\x1c", "7-Zip"},
		{"Rar!\x1a\x07", "RAR"}, {"\x04\x22\x4d\x18", "lz4"},
	} {
		if bytes.HasPrefix(head, []byte(format[0])) {
			return format[1]
		}
	}
	if bytes.HasPrefix(head, []byte("BZh")) && bytes.HasSuffix(head, []byte("1AY&SY")) {
		return "bzip2"
	}
	return ""
}

// isUTF32 reports whether a text begins with the mark of UTF-32, or with ASCII in UTF-32 without one: three of four bytes are
// zero, which no other encoding has.
func isUTF32(head []byte) bool {
	for _, mark := range markUTF32 {
		if bytes.HasPrefix(head, mark) && len(head)%4 == 0 {
			return true
		}
	}
	if len(head) < 8 {
		return false
	}
	little, big := true, true
	for unit := range slices.Chunk(head[:8], 4) {
		little = little && unit[0] != 0 && unit[1]|unit[2]|unit[3] == 0
		big = big && unit[3] != 0 && unit[0]|unit[1]|unit[2] == 0
	}
	return little || big
}

// Encoding returns the encoding of the text.
func (t *Reader) Encoding() string { return t.encoding }

// Read reads converted text.
func (t *Reader) Read(p []byte) (int, error) {
	for len(t.ready) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		t.fill()
	}
	n := copy(p, t.ready)
	t.ready = t.ready[n:]
	return n, nil
}

// fill converts the next chunk.
func (t *Reader) fill() {
	n, err := t.src.Read(t.raw)
	if t.encoding != UTF8 && n%2 == 1 && err == nil { // a character is two bytes
		_, err = io.ReadFull(t.src, t.raw[n:n+1])
		n++
		if err != nil {
			n, err = n-2, errHalf
		}
	}
	t.decoded = t.decode(t.decoded[:0], t.raw[:n])
	if t.pairs.joined { // the line before it may be one of other characters
		t.decoded, err = t.decoded[:0], errJoined
	}
	t.out = t.lines(t.out[:0], t.decoded)
	if err != nil {
		if t.half != 0 {
			t.out = appendHalf(t.out, t.half)
		}
		t.out, t.held = t.release(t.out), 0
		t.err = err
	}
	t.ready = t.out
}

// decode appends text as UTF-8.
func (t *Reader) decode(out, text []byte) []byte {
	if t.encoding == UTF8 {
		return append(out, text...)
	}
	for i := 0; i+1 < len(text); i += 2 {
		unit := unitOf(t.encoding, text[i:])
		t.pairs.add(byte(unit>>8), byte(unit))
		if t.half != 0 {
			if r := utf16.DecodeRune(rune(t.half), rune(unit)); r != utf8.RuneError {
				out, t.half = utf8.AppendRune(out, r), 0
				continue
			}
			out, t.half = appendHalf(out, t.half), 0
		}
		switch {
		case 0xd800 <= unit && unit < 0xdc00:
			t.half = unit
		case 0xdc00 <= unit && unit < 0xe000:
			out = appendHalf(out, unit)
		default:
			out = utf8.AppendRune(out, rune(unit))
		}
	}
	return out
}

// pairs finds ASCII that is read as UTF-16: each two of its characters become one. Two letters are a character of East Asia then, and a line
// end with another character is one of India or Sri Lanka. No text has these side by side. It also finds UTF-16 in the other byte order, whose
// line end and byte order mark are no characters.
type pairs struct {
	letters, ends bool // in a row of such pairs
	joined        bool
}

func (p *pairs) add(high, low byte) {
	switch {
	case !isPlain(int(high)) || !isPlain(int(low)):
		p.letters, p.ends = false, false
	case high == '\n' || high == '\r':
		p.ends = true
	case high >= '0':
		p.letters = true
	}
	swapped := high == '\n' && low == 0 || high == 0xff && low == 0xfe
	p.joined = p.joined || p.letters && p.ends || swapped
}

// isPlain reports whether a character of a text is ASCII.
func isPlain(c int) bool { return ' ' <= c && c < 0x7f || c == '\t' || c == '\r' || c == '\n' }

func unitOf(encoding string, b []byte) int {
	if encoding == UTF16LE {
		return int(b[0]) | int(b[1])<<8
	}
	return int(b[1]) | int(b[0])<<8
}

// appendHalf appends half of a surrogate pair in the form that a character of its size would have, which is not valid.
func appendHalf(out []byte, unit int) []byte {
	return append(out, 0xe0|byte(unit>>12), 0x80|byte(unit>>6&0x3f), 0x80|byte(unit&0x3f))
}

// lines appends text with its line ends converted. Windows writes "\r\n", and "\r\r\n" where a program converts twice.
func (t *Reader) lines(out, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\r')
		if i != 0 && len(text) > 0 {
			if text[0] == '\n' {
				t.held = 0
			}
			end := i
			if i < 0 {
				end = len(text)
			}
			out, t.held = append(t.release(out), text[:end]...), 0
			text = text[end:]
		}
		if len(text) == 0 {
			return out
		}
		if t.held == 2 {
			out, t.held = t.release(out), 0
		}
		t.held++
		text = text[1:]
	}
}

// release appends the carriage returns that turned out not to belong to "\r\n".
func (t *Reader) release(out []byte) []byte {
	for range t.held {
		if t.cr {
			out = append(out, '\n')
		} else {
			out = append(out, '\r')
		}
	}
	return out
}

// encodingOf finds the encoding of a text by its beginning, and the length of its byte order marks.
func encodingOf(head []byte) (encoding string, skip int) {
	switch {
	case bytes.HasPrefix(head, markUTF8):
		for bytes.HasPrefix(head[skip:], markUTF8) { // two, where files were joined
			skip += len(markUTF8)
		}
		return UTF8, skip
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return UTF16LE, 2
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return UTF16BE, 2
	case bytes.IndexByte(head, 0) < 0, hasFewNULs(head):
		return UTF8, 0
	}
	little, big := plainShare(UTF16LE, head), plainShare(UTF16BE, head)
	switch {
	case little == 0 && big == 0:
		return UTF8, 0
	case little >= big:
		return UTF16LE, 0
	}
	return UTF16BE, 0
}

// hasFewNULs reports whether a text is UTF-8 with some NULs, as behind the records of a program. In UTF-16 each second byte of ASCII is one.
func hasFewNULs(head []byte) bool {
	other := func(r rune) bool { return r == utf8.RuneError || r != 0 && r < 0xa0 && !isPlain(int(r)) }
	whole := head
	for len(head)-len(whole) < utf8.UTFMax-1 && !utf8.Valid(whole) { // its last character may be cut off
		whole = whole[:len(whole)-1]
	}
	return 3*bytes.Count(head, []byte{0}) < len(head) && bytes.IndexFunc(whole, other) < 0
}

// plainShare returns how much of a text is ASCII if it is taken for UTF-16, or 0 if it cannot be that: it has control
// characters, or less ASCII than a text with lines, or separated by commas, has.
func plainShare(encoding string, head []byte) float64 {
	var plain, units, ends int
	for i := 0; i+1 < len(head); i += 2 {
		unit := unitOf(encoding, head[i:])
		units++
		switch {
		case unit == '\n' || unit == '\r':
			ends++
			plain++
		case isPlain(unit):
			plain++
		case unit < ' ' || unit == 0x7f || unit >= 0xfffe:
			return 0
		}
	}
	share := float64(plain) / float64(max(units, 1))
	if share >= 0.5 || ends > 0 && share >= 0.1 {
		return share
	}
	return 0
}

// endsWithCR reports whether the lines of a text end with a carriage return alone. Within quotation marks there may be others.
func endsWithCR(head []byte) bool {
	if bytes.IndexByte(head, '\n') < 0 {
		return bytes.IndexByte(head[:min(len(head), headSize-1)], '\r') >= 0
	}
	quoted := false
	for i, c := range head {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			return false
		case c == '\r':
			next := bytes.TrimLeft(head[i:], "\r")
			return len(next) > 0 && next[0] != '\n'
		}
	}
	return false
}
