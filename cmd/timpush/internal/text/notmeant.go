package text

import (
	"regexp"
	"strings"
)

// NotMeant says why a text is not meant as an account, though it could be one, or returns "": it is a number that a program has written
// in another form, a text that is written for a spreadsheet, or a line that the client of a database prints around the rows.
func NotMeant(text string) string {
	switch {
	case isDate(text):
		return "the account is a date, such as 12-Oct or 2024/10/12, as spreadsheets make of accounts such as 10-12 and MAR1: format the column as text before the accounts are entered, and save the file again"
	case isWord(text): // as most are: the expressions take longer than all else that is done with a row
		return ""
	case frame.MatchString(text):
		return "it is a line that psql, mysql, sqlcmd or another program prints around the rows, and no account: export the rows as CSV"
	case ForSpreadsheet(text):
		return "the account is a text as programs write it for a spreadsheet, such as =\"0049151\" or '+49151: export it as it is"
	case len(text) > 1 && (text[0] == '\'' || text[0] == '`') && text[0] == text[len(text)-1]:
		return "the account is in quotation marks: export it as it is"
	case Escaped(text):
		return "the account has a backslash before a quotation mark or another backslash, as databases write it in files with tabs: export the rows as CSV, without such escapes"
	case ForPrograms(text):
		return "the account is a text as programs show it to programmers, such as b'mary' or ObjectId(...): export it as it is"
	case Shortened(text):
		return "the account is a number that a spreadsheet or another program has shortened, such as 4.91512E+12: format the column as text before the numbers are entered, or, if they have at most 15 digits, as a number without decimals, and save the file again"
	case grouped.MatchString(text):
		return "the account is a number with separators between its digits, such as 4,915,112, as spreadsheets show it: format the column as a number without them and without decimals, or as text, and save the file again"
	case exponent.MatchString(text):
		return "the account is a number with an exponent, such as 4.915112345678E12, which Java, Spark and others make of a number with a fraction: make the column a text, or a whole number"
	case strings.HasSuffix(text, "0") && fraction.MatchString(text):
		return "the account is a number with a fraction, such as 4915112345678.0, which pandas makes of the whole numbers of a column with empty cells: make the column a text, or a whole number (Int64)"
	}
	return ""
}

// isDate reports whether a text is a date as spreadsheets write it. Those with words are in English, as 12-Oct, or in Chinese.
func isDate(text string) bool {
	hyphen, slash := strings.IndexByte(text, '-') > 0, strings.IndexByte(text, '/') > 0
	return (hyphen && len(text) <= len("12-Oct") || slash || strings.Contains(text, "月")) && date.MatchString(text)
}

// isWord reports whether a text has only letters and digits of ASCII, and hyphens and underscores between them, or is an email address of these.
func isWord(text string) bool {
	dot, at := false, false
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '_'):
		case i > 0 && c == '.':
			dot = true
		case i > 0 && c == '@':
			at = true
		default:
			return false
		}
	}
	return at || !dot
}

// Shortened reports whether a text is a number as programs show it that has no room: what was cut off is lost.
func Shortened(text string) bool {
	return strings.Contains(text, "+") && scientific.MatchString(text)
}

// ForSpreadsheet reports whether a text is one that a program has changed so that a spreadsheet keeps it: ="007" and '0049151 keep their
// zeros and all of their digits, and '+49 is not calculated. WeChat Pay writes a ` before each value of its bills for that.
func ForSpreadsheet(text string) bool {
	return strings.HasPrefix(text, `="`) && strings.HasSuffix(text, `"`) || text != "" && (text[0] == '\'' || text[0] == '`') && marked.MatchString(text)
}

// ForPrograms reports whether a text is one as a language or the client of a database shows a value to programmers: Python b'mary', which a
// client of Redis returns, and ('mary',), that of MongoDB ObjectId(...), and redis-cli 1) "mary".
func ForPrograms(text string) bool {
	return text != "" && strings.IndexByte("'\")", text[len(text)-1]) >= 0 && printed.MatchString(text)
}

// Escaped reports whether a text has a backslash that a database has put before another sign: ClickHouse writes L\'Aquila in files with tabs, and
// it, MySQL and PostgreSQL CORP\\mary for CORP\mary.
func Escaped(text string) bool {
	return strings.IndexByte(text, '\\') >= 0 && escaped.MatchString(text)
}

const month = `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)`

var (
	escaped    = regexp.MustCompile(`\\['"\\]`)
	printed    = regexp.MustCompile(`^(?:b'.*'|b".*"|\('.*',\)|[0-9]+\) ".*"|(?:new )?(?:ObjectI[dD]|UUID|Number(?:Long|Int|Decimal)|Long|Decimal)\(.*\))$`)
	scientific = regexp.MustCompile(`^[0-9]([.,][0-9]+)?[eE]\+[0-9]{2,3}$`)
	exponent   = regexp.MustCompile(`^-?[0-9]\.[0-9]+[eE][0-9]{1,3}$`)  // without a point it can be hexadecimal
	marked     = regexp.MustCompile("^'(?:[-+=@]|[0-9]{3,}$)|^`[^`]+$") // with two digits it is a year
	date       = regexp.MustCompile(`^(?:[0-9]{1,2}-` + month + `|` + month + `-[0-9]{2}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}|[0-9]{4}年[0-9]{1,2}月(?:[0-9]{1,2}日)?|[0-9]{1,2}月[0-9]{1,2}日)$`)
	fraction   = regexp.MustCompile(`^[0-9]{4,}[.,]0+$`)

	// frame is the line below the names of the columns, a line of a table with lines around its cells, the number of a row that is printed on
	// several lines, or the number of rows at the end.
	frame = regexp.MustCompile(`^-[-+]*-$|^\+-[-+]*\+$|^\| .* \|$|^[│┌├└╭╰]|^-\[ RECORD [0-9]+ \]|^\*+ [0-9]+\. row \*+$|^\([0-9]+ rows?( affected)?\)$|^Empty set \(|` +
		`(?i:^(?:no|[0-9]+) (?:row|record)(?:s|\(s\))? (?:in set|selected|affected|produced|returned|retrieved|fetched)\b)`)

	// grouped is a number with the separators of English and Indian, French or Swiss spreadsheets. With points it can be an address.
	grouped = regexp.MustCompile(`^[0-9]{1,3}(,[0-9]{2,3})*,[0-9]{3}(\.[0-9]+)?$|^[0-9]{1,3}([\x{a0}\x{202f}'\x{2019}][0-9]{3})+([.,][0-9]+)?$`)
)
