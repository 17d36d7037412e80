package input

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// value returns the value of a field, "" where it counts as empty, or why it is not sent.
func (l *layout) value(field string) (value, reason string) {
	if reason = l.unreadable(field, text.Fault); reason != "" {
		return "", reason
	}
	trimmed := text.Trim(field)
	if trimmed == "" || l.options.isNull(trimmed) {
		l.notes.Empty++
		return "", ""
	}
	if !l.options.asWritten() {
		if reason = l.notMeant(field, trimmed); reason != "" {
			return "", reason
		}
	}
	switch {
	case trimmed == notAvailable && !l.options.asWritten():
		l.notes.NA++
	case text.Shortened(trimmed):
		l.notes.Shortened++
	case trimmed != field && !l.options.Trim:
		l.notes.Spaces++
	}
	if l.options.Trim {
		return trimmed, ""
	}
	return field, ""
}

// notMeant says why a field is not meant as a value, though it could be one, or returns "".
func (l *layout) notMeant(field, trimmed string) string {
	switch {
	case doubtful(trimmed):
		return fmt.Sprintf("the value is %s, which may mean that there is none: give --null %s to leave the attribute alone, or --null= to send it", trimmed, text.Quote(trimmed))
	case text.ForSpreadsheet(trimmed):
		return "the value is a text as programs write it for a spreadsheet, such as =\"007\" or '+49: export it as it is, or give --null= to send it so"
	case text.ForPrograms(trimmed):
		return "the value is a text as programs show it to programmers, such as b'Rome' or ObjectId(...): export it as it is, or give --null= to send it so"
	case text.Escaped(trimmed):
		return "the value has a backslash before a quotation mark or another backslash, as databases write it in files with tabs: export the rows as CSV, without such escapes, or give --null= to send it so"
	case !l.options.Trim && strings.Trim(field, "\t") != field:
		return "the value has a tab beside it, as programs write it for a spreadsheet, so that it keeps all digits of a number: give --trim to send it without, or --null= to send it so"
	}
	return ""
}

// doubtful reports whether a text is one that programs write where there is no value, an error, or a column that is too narrow,
// and that can be a value too.
func doubtful(text string) bool {
	return slices.Contains(noValue, text) || len(text) >= 3 && strings.Trim(text, "#") == "" || strings.HasPrefix(text, "Err:5") || // of LibreOffice
		sheetError.MatchString(text)
}

// NoAccount reports whether a line of a list of accounts means, or may mean, that there is none.
func NoAccount(line string) bool { return line == `\N` || mayBeNone(line) }

// mayBeNone reports whether an account may mean that there is none.
func mayBeNone(account string) bool { return account == notAvailable || doubtful(account) }

// notAvailable is what R writes where there is no value. It may be Namibia or North America as well, so that values are sent, and counted.
const notAvailable = "NA"

// sheetError is an error of a spreadsheet in any language, such as #WERT! and #¡VALOR!.
var sheetError = regexp.MustCompile(`^#[¡¿]?[\p{Lu}][\p{Lu}/_0]*[!?]$`)

var noValue = []string{
	"NULL", "null", "nan", "NaN", "NaT", "<NA>", "None", "(null)", "(NULL)", "<null>", "<NULL>", "[NULL]", "undefined", "[object Object]",
	"N/A", "n/a", "Null", "<nil>", "(nil)", ".", // of people, Tableau, Go, redis-cli, and SAS
	"-nan", "1.#QNAN", "-1.#IND", "1.#INF", // of C on Windows
	"#NV", "#N/D", "#N/B", "#I/T", "#Н/Д", "#YOK", "#HIÁNYZIK", // #N/A in German, Italian and Spanish, Dutch, Danish, Russian, Turkish, Hungarian
	"#N/A", "#GETTING_DATA",
}

// isNull reports whether a text means that there is no value: one of --null, or \N, which databases write.
func (o *Options) isNull(field string) bool {
	return slices.Contains(o.Null, field) || field == `\N` && !o.asWritten()
}

// noAccount is the reason of an account that isNull.
func noAccount(text string) string {
	return fmt.Sprintf("the account is %s, which means that there is none", text)
}

// doubtfulAccount reports whether an account may mean that there is none: a push would go to whoever has that name.
func (o *Options) doubtfulAccount(account string) bool {
	return !o.asWritten() && mayBeNone(account)
}

func maybeNoAccount(text string) string {
	return fmt.Sprintf("the account is %s, which may mean that there is none: give --null= to send it", text)
}

// asWritten reports whether --null= was given: then texts that can mean that there is no value are values.
func (o *Options) asWritten() bool { return o.Null != nil && len(o.Null) == 0 }
