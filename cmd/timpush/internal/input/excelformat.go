package input

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// cellFormat says which cells with a format the library does not show as the sheet does.
type cellFormat struct {
	number func(n float64) bool // reports whether a number is shown otherwise; nil: none is
	words  bool                 // the format adds words to a text, as "No. "@ does: the library shows them in empty cells too
	date   bool                 // numbers are dates, or times of day
}

// cellFormatOf returns the cellFormat of a format in a workbook, which may count its days from 1904.
func cellFormatOf(code string, since1904 bool) cellFormat {
	if since1904 && elapsed.MatchString(code) { // the library adds the days between 1900 and 1904 to hours too, and shows 35118:05 for 30:05
		return cellFormat{always, addsToTexts(code), true}
	}
	return cellFormat{wrongNumbers(code), addsToTexts(code), showsDate(code)}
}

func always(float64) bool { return true }

// The formats that are known to be shown right, by a comparison with what LibreOffice shows. There are many others: 1234.5 with # ##0.00 comes
// as 12 34.50, a 0 in quotation marks is taken for a digit, and dates come as the bare number in some languages, and with months in the wrong
// case in others.
const (
	literal = `"[^"0#?@_*;\\[\]]*"|\\[^0-9#?]|_.|\*.|\[(?i:black|blue|cyan|green|magenta|red|white|yellow)\]`
	around  = `(?:` + literal + `|[^\pL\d"\\#?@%_*;,./'[\]]|\[\$[^-\]][^\]]*\]|\[\$-(?:10)?1?[0-9A-F]{3,4}\])*`
	spaced  = `[0#](?:(?:` + literal + `|[- ()])*[0#])*,*` // without a fraction
	digits  = `(?:[0#,]*[0#](,*)|[0#,]*\.([0#]+)(,*)|0\.0+E\+00)` + around + `(%?)`
)

var (
	general = regexp.MustCompile(`(?i)^(?:@|(?:(?:\[[a-z]+\]|\[\$-[^\]]*\])*-?general(?:;|$))+@?)$`)
	numbers = regexp.MustCompile(`^` + around + `(?:(?:` + spaced + `|` + digits + `)` + around + `)?$`)
	dates   = regexp.MustCompile(`^(?:\[\$-([^\]]*)\])?(?:` + literal + `|[-/.:, ()T年月日时時分秒]|UTC|(?i:yyyy|yy|m+|d+|aaaa?|h+|s+|\[[hms]\])|AM/PM|上午/下午)*$`)
	eras    = regexp.MustCompile(`^\[\$-4(?:04|11)\](?:` + literal + `|[-/.:, ()]|(?i:g+|e|m+|d+))*$`)
	asZero  = regexp.MustCompile(`[0#-]|^\PL*$`) // also the dash of accountants, and nothing

	// The library takes some texts for a part of a format, and a # or % before a character such as € or ▲ for a text: it shows 45###₫ for
	// #,###₫, and 0%▲ for 0.05 with 0%▲.
	misread = regexp.MustCompile(`(?i)^(?:[^"\\]|\\.|"[^"]*")*(?:"[^"]*(?:general|am?/p|上午/下午|e\+)|[#%],*[^-+$():\s"\\_*[0#,.%])`)

	elapsed   = regexp.MustCompile(`(?i)\[[hms]+\]`)
	literals  = regexp.MustCompile(`"[^"]*"|\\.|_.|\*.|\[[^\]]*\]`)
	textAlone = regexp.MustCompile(`^(?:@|\\? |" *"|_.|\*.|\[[^\]]*\])*$`)

	// Languages, by their numbers: of all parts of a date, of all but a slash, which stands for their own separator, and only of figures. A 1
	// in front is for the usual calendar: English in Singapore is 4809 or 14809. The library does not know that of Indonesia, 3809.
	anyPart = regexp.MustCompile(`^(?:(?:10|1010)?(?:[48C](?:04|0A)|[48]0C|41[0126])|(?:10)?1?(?:0?[48C]|1[48C]|2[048C]|3[0C]|4[048C])09|1010000|1000409|F[48]00|x-sys(?:date|time)|en-(?:US|GB))$`)
	noSlash = regexp.MustCompile(`^(?:10)?1?(?:[0-5]?[048C](?:04|06|07|0A|0C|10|11|12|13|14|16|1D|1F|21)|(?:10|34)09)$`)
	figures = regexp.MustCompile(`^(?:10)?1?[0-5]?[048C](?:02|03|05|08|0B|0D|0E|15|18|19|1A|1B|22|24|25|26|27|2A|2D|3E|56)$`)
	name    = regexp.MustCompile(`(?i)mmm|ddd|aaa|AM/PM`)
)

// wrongNumbers returns which numbers with a format the library does not show as the sheet does.
func wrongNumbers(code string) func(n float64) bool {
	sections := strings.Split(code, ";")
	if last := len(sections) - 1; last > 0 && strings.Contains(sections[last], "@") {
		sections = sections[:last] // for texts
	}
	var roundings []rounding
	days := false
	for _, section := range sections[:min(len(sections), 2)] {
		number := numbers.FindStringSubmatch(section)
		if misread.MatchString(section) || number == nil && !isDate(section) {
			return always
		}
		if days = days || number == nil; number != nil {
			whole, places, thousands, percent := number[1], number[2], number[3], number[4]
			roundings = append(roundings, rounding{len(places), len(whole + thousands), percent != "", strings.HasSuffix(places, "#")})
		}
	}
	// The library shows a zero by the first section.
	zeros := len(sections) > 2 && !(strings.ContainsAny(sections[0], "0#") && asZero.MatchString(sections[2]))
	return func(n float64) bool {
		return zeros && n == 0 || days && endsDay(n) || slices.ContainsFunc(roundings, func(r rounding) bool { return r.showsWrong(n) })
	}
}

// endsDay reports whether a date is in the last half second of its day, as 23:59:59.999 for the end of it. The library rounds to seconds, and shows
// the next day, also by a format without a time.
func endsDay(n float64) bool {
	_, time := math.Modf(n)
	seconds := time * 24 * 60 * 60
	return seconds > 86399.4999 && seconds < 86399.9995
}

// rounding is how a format rounds a number.
type rounding struct {
	places    int
	thousands int // commas behind the digits, each of which divides by a thousand
	percent   bool
	optional  bool // zeros at the end are not shown
}

// showsWrong reports whether the library rounds a number down that the sheet rounds up, or shows a zero at the end that the sheet does not. 9.075
// with two places is shown as 9.08; the library multiplies by 100, which gives 907.4999999999999, and shows 9.07. 12.8044 with 0.## is shown as
// 12.8; the library leaves a zero out only where the number has so few places itself, also before it is made per cent.
func (r rounding) showsWrong(n float64) bool {
	n, _ = strconv.ParseFloat(strconv.FormatFloat(n, 'g', 15, 64), 64) // as a spreadsheet keeps no more digits
	inexact := r.percent && n != math.Trunc(n)
	if r.thousands > 0 {
		n /= math.Pow(1000, float64(r.thousands))
	}
	if r.percent {
		n *= 100
	}
	n *= math.Pow10(r.places)
	const more = 1 + 5e-16 // by what these steps can lose, and by less than a spreadsheet keeps
	rounded := math.Round(n * more)
	inexact = inexact || math.Abs(n-rounded) > math.Abs(n)*1e-15
	return math.Round(n) != rounded || r.optional && inexact && math.Mod(rounded, 10) == 0
}

// addsToTexts reports whether a format shows more of a text than the text, beside space.
func addsToTexts(code string) bool {
	sections := strings.Split(code, ";")
	last := sections[len(sections)-1]
	return strings.Contains(last, "@") && !textAlone.MatchString(last)
}

// showsDate reports whether a format shows a number as a date, or a time of day, of any language.
func showsDate(code string) bool {
	section, _, _ := strings.Cut(code, ";")
	return strings.ContainsAny(literals.ReplaceAllString(section, ""), "ymdhsYMDHS")
}

// isDate reports whether a section of a format is that of a date, or of a time of day, that is known to be shown right.
func isDate(section string) bool {
	parts := dates.FindStringSubmatch(section)
	if parts == nil {
		return eras.MatchString(section)
	}
	language := parts[1]
	if language == "" || anyPart.MatchString(language) {
		return true
	}
	slash := strings.Contains(strings.ReplaceAll(section, "AM/PM", ""), "/")
	return !slash && (noSlash.MatchString(language) || figures.MatchString(language) && !name.MatchString(section))
}
