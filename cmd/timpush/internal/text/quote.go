package text

import (
	"strconv"
	"strings"
	"unicode"
)

// Quote returns a text as an argument in a command line, with quotation marks where a shell needs them.
func Quote(text string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.:/=,@%+", r)
	}
	switch {
	case text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }):
		return text
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }): // a terminal would do what it says
		escaped := strconv.Quote(text)
		return "$'" + strings.ReplaceAll(escaped[1:len(escaped)-1], "'", `\'`) + "'"
	case !strings.ContainsAny(text, "\"$`\\!"):
		return `"` + text + `"` // as Windows knows it, too
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// QuoteItem returns a text as one of the values of a flag, which takes several with commas between, in a command line.
func QuoteItem(text string) string {
	if strings.ContainsAny(text, "\",\r\n") {
		text = `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	return Quote(text)
}

// Plain returns a text as it is for a message of one line: in quotation marks where not all of it can be printed.
func Plain(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
