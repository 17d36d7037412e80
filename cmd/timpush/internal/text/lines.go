package text

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// Error is why a line cannot be read.
type Error struct {
	Line   int // from 1
	Column int // character in the line, from 1; 0 if it is the whole line
	Reason string
}

// Error tells the place and the reason.
func (e *Error) Error() string {
	if e.Column == 0 {
		return fmt.Sprintf("%d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Reason)
}

// Line is a line of a text.
type Line struct {
	Number int    // from 1
	Text   string // without what [Trim] removes; never empty

	column int // of the first character of Text, from 1
}

// Fault returns the error of a byte of the line's text.
func (l Line) Fault(at int, reason string) *Error {
	return &Error{l.Number, l.column + utf8.RuneCountInString(l.Text[:at]), reason}
}

// Lines reads the lines that are not empty, each of at most maxBytes. A line that cannot be read comes as an *[Error],
// and the lines after it follow; any other error ends the text. A carriage return alone ends a line, too.
func Lines(r io.Reader, maxBytes int) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		t, err := NewReader(r)
		if err != nil {
			yield(Line{}, err)
			return
		}
		t.cr = true
		lines := bufio.NewReaderSize(t, max(maxBytes, 16)+1)
		for number := 1; ; number++ {
			text, long, err := readLine(lines)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Line{}, err)
				return
			}
			line, fault := lineOf(number, text, long)
			if (fault != nil || line.Text != "") && !yield(line, fault) || err != nil {
				return
			}
		}
	}
}

// readLine reads a line, and says whether it does not fit into the buffer. Then its text is not whole.
func readLine(lines *bufio.Reader) (text string, long bool, err error) {
	part, err := lines.ReadSlice('\n')
	text, long = string(part), errors.Is(err, bufio.ErrBufferFull)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = lines.ReadSlice('\n')
	}
	return text, long, err
}

func lineOf(number int, raw string, long bool) (Line, error) {
	if long {
		return Line{}, &Error{number, 0, "the line is too long"}
	}
	line := Line{Number: number, Text: Trim(raw)}
	line.column = utf8.RuneCountInString(raw[:strings.Index(raw, line.Text)]) + 1
	if reason, at := Fault(line.Text); reason != "" {
		return Line{}, line.Fault(at, reason)
	}
	return line, nil
}
