package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forms are the ways in which a text with the line ends "\n" is written on the machines of those who make it.
var forms = map[string]func(string) string{
	"Unix":               func(s string) string { return s },
	"Windows":            func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
	"old Macintosh":      func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
	"converted twice":    func(s string) string { return strings.ReplaceAll(s, "\n", "\r\r\n") },
	"BOM":                func(s string) string { return "\ufeff" + s },
	"two BOMs":           func(s string) string { return "\ufeff\ufeff" + s },
	"no last line end":   func(s string) string { return strings.TrimSuffix(s, "\n") },
	"UTF-16LE, BOM":      utf16le,
	"UTF-16LE":           func(s string) string { return utf16le(s)[2:] },
	"UTF-16BE, BOM":      func(s string) string { return utf16be("\ufeff" + s) },
	"UTF-16BE":           utf16be,
	"UTF-16LE, Windows":  func(s string) string { return utf16le(strings.ReplaceAll(s, "\n", "\r\n")) },
	"blanks at the ends": func(s string) string { return "\n \u00a0\u200b\n" + s + "\n\n" },
}

func utf16be(text string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

func eachForm(t *testing.T, text string, test func(t *testing.T, text string)) {
	t.Helper()
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, form(text))
		})
	}
}

func TestFormsOfCSV(t *testing.T) {
	t.Parallel()
	eachForm(t, "To_Account,city\nmary,Zürich\n张三,北京\nbob,\"two\nlines\"\n", func(t *testing.T, text string) {
		w := newWorld(t)
		if strings.HasPrefix(text, "\n \u00a0") {
			text = strings.Replace(text, "\n \u00a0\u200b\n", "\n\n", 1) // a line of blanks would be the header
		}
		w.write("u.csv", text)
		r := w.run("set-attr", "u.csv")
		require.Equal(t, 0, r.code, r.err)
		assert.Equal(t, "Zürich", w.fake.Attrs("mary")["city"])
		assert.Equal(t, "北京", w.fake.Attrs("张三")["city"])
		assert.Equal(t, "two\nlines", w.fake.Attrs("bob")["city"])
		assert.Len(t, w.fake.Accounts(), 3)
	})
}

func TestFormsOfNDJSON(t *testing.T) {
	t.Parallel()
	eachForm(t, `{"To_Account":"mary","city":"Zürich"}`+"\n"+`{"To_Account":"张三","city":"北京"}`+"\n", func(t *testing.T, text string) {
		w := newWorld(t)
		w.write("u.ndjson", text)
		r := w.run("set-attr", "u.ndjson")
		if strings.HasPrefix(text, "\n \u00a0") {
			require.Equal(t, 1, r.code, "a line of blanks that JSON does not know is rejected: %s", r.err)
		} else {
			require.Equal(t, 0, r.code, r.err)
		}
		assert.Equal(t, "Zürich", w.fake.Attrs("mary")["city"])
		assert.Equal(t, "北京", w.fake.Attrs("张三")["city"])
	})
}

func TestFormsOfLists(t *testing.T) {
	t.Parallel()
	eachForm(t, "To_Account\nmary\n\u00a0bob\u200b\n", func(t *testing.T, text string) {
		w := newWorld(t)
		w.in = text
		r := w.run("get-attr", "--file", "-")
		require.Equal(t, 0, r.code, r.err)
		assert.Equal(t, `{"To_Account":"mary","Attrs":{}}`+"\n"+`{"To_Account":"bob","Attrs":{}}`+"\n", r.out)
		assert.Regexp(t, `^stdin:\d: To_Account is taken for a header, not for an account\n$`, r.err)
	})
}

func TestFormsOfKeyFiles(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"%s\n", "TIMPUSH_SECRET_KEY=%s\n", "# the key\nexport TIMPUSH_SECRET_KEY='%s'\n", "secret-key = \"%s\"\n"} {
		eachForm(t, content, func(t *testing.T, text string) {
			w := newWorld(t).without("TIMPUSH_SECRET_KEY")
			text = strings.Replace(text, "%s", w.key, 1)
			text = strings.Replace(text, utf16le("%s")[2:], utf16le(w.key)[2:], 1)
			w.write("key", strings.Replace(text, utf16be("%s"), utf16be(w.key), 1))
			r := w.run("check", "--secret-key-file", "key")
			require.Equal(t, 0, r.code, r.out+r.err)
		})
	}
}

func TestFormsOfConfigurations(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"configuration": "# of the app\nsdkappid = 1400000000\nidentifier =\u00a0administrator\u200b\nregion = singapore\nbase-url = @\n",
		"environment":   "export TIMPUSH_SDKAPPID=1400000000\nexport TIMPUSH_IDENTIFIER='administrator'\nTIMPUSH_REGION=singapore\nexport TIMPUSH_BASE_URL=@\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for form, convert := range forms {
				w := newWorld(t)
				w.write("conf", convert(strings.Replace(content, "@", w.fake.URL, 1)))
				w.without("TIMPUSH_SDKAPPID", "TIMPUSH_IDENTIFIER", "TIMPUSH_REGION", "TIMPUSH_BASE_URL")
				r := w.run("check", "--config", "conf")
				require.Equal(t, 0, r.code, form+": "+r.out+r.err)
			}
		})
	}
}

// What cannot be read is named with its line and column.
func TestPlacesOfFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("list", "mary\nb\u200bob\n\nca\tfé\n"+"caf\xe9\nann\n")
	r := w.run("get-attr", "--file", "list")
	assert.Equal(t, 1, r.code)
	assert.Equal(t, 2, strings.Count(r.out, "\n"), "the other accounts are read")
	for _, want := range []string{
		"list:2:2: there is a character without width (U+200B) in it", "list:4:3: there is a control character (U+0009) in it", "list:5:4: it is not UTF-8",
	} {
		assert.Contains(t, r.err, want)
	}
	w.write("u.csv", "To_Account,city\nma\u200bry,Rome\nbob\tx,Rome\n\u202a\u00a0ann\u200b\u202c,Rome\n")
	r = w.run("set-attr", "u.csv")
	assert.Equal(t, 1, r.code)
	assert.Equal(t, []string{"ann"}, w.fake.Accounts())
	assert.Contains(t, r.err, "u.csv:2: column To_Account: there is a character without width (U+200B) in it")
	assert.Contains(t, r.err, "u.csv:3: column To_Account: there is a control character (U+0009) in it")
	assert.Contains(t, r.out, "1 account with white space around, which was removed")
	w.write("u.ndjson", `{"To_Account":"mary","city":"caf`+"\xe9"+`"}`+"\n"+`{"To_Account":"b\u200bob","city":"x"}`)
	r = w.run("set-attr", "--dry-run", "u.ndjson")
	assert.Contains(t, r.err, "u.ndjson:1:33: it is not UTF-8")
	assert.Contains(t, r.err, "u.ndjson:2: column To_Account: there is a character without width")
	w.write("conf", "region = singapore\nidentifier = ad\x01min\n")
	r = w.run("check", "--config", "conf")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "conf:2:13: there is a control character (U+0001) in it")
	for _, value := range []string{"administrator # of the app", "# of the app", "#"} {
		w.write("conf", "region = singapore\nidentifier = "+value+"\n")
		assert.Contains(t, w.run("check", "--config", "conf").err, "conf:2:13: a comment (#) needs a line of its own")
	}
}

// Each try with a wrong key counts towards 70050.
func TestKeysThatCannotBeOne(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"abc":                                        "the secret key, from key, cannot be one: it has only 3 characters",
		"SecretKey=" + strings.Repeat("0", 64):       "the secret key: key:1:10: there is a = in it, which no key has",
		strings.Repeat("0", 40) + " " + "x":          "character 41 is not a printable ASCII character",
		strings.Repeat("é", 64):                      "character 1 is not a printable ASCII character",
		strings.Repeat("0", 64) + "\nregion = seoul": "want the key alone in it, and there is more in line 2",
		strings.Repeat("0", 63) + "\xe9":             "the secret key: key:1:64: it is not UTF-8",
	} {
		w := newWorld(t).without("TIMPUSH_SECRET_KEY")
		w.write("key", text)
		r := w.run("check", "--secret-key-file", "key")
		assert.Equal(t, 2, r.code, r.out)
		assert.Contains(t, r.err, want)
		assert.NotContains(t, r.err, "000000")
		assert.Empty(t, w.fake.Calls())
	}
	w := newWorld(t).with("TIMPUSH_SECRET_KEY=abc")
	r := w.run("names", "get")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "the secret key, from TIMPUSH_SECRET_KEY, cannot be one: it has only 3 characters")
}

// A run that finds no row is an error: the file may be another than was meant.
func TestNoRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, text := range map[string]string{"u.csv": "To_Account,city\n", "u.ndjson": "\n\n", "u.parquet": parquetFile(t, 0), "cr.csv": "To_Account,city\r"} {
		w.write(name, text)
		for _, args := range [][]string{{"set-attr", name}, {"set-attr", "--dry-run", name}} {
			if name == "u.parquet" {
				args = append(args, "--ignore", "level")
			}
			r := w.run(args...)
			assert.Equal(t, 3, r.code, args)
			assert.Contains(t, r.err, name+": there are no rows")
			assert.Equal(t, 0, w.run(append(args, "--allow-empty")...).code)
		}
		assert.False(t, w.has(name+".checkpoint"))
	}
	w.write("u.csv", "") // as mysql -B writes what has no rows
	assert.Contains(t, w.run("set-attr", "u.csv").err, "u.csv: it is empty: the first line must name the columns")
	w.write("u.xlsx", string(workbook(t, nil)))
	assert.Contains(t, w.run("set-attr", "u.xlsx").err, `the sheet "Users" is empty: its first row must name the columns`)
	for _, args := range []string{"set-attr u.xlsx", "set-attr --dry-run u.xlsx", "set-attr u.csv", "set-attr --dry-run u.csv", "set-attr --map a=city u.csv", "set-attr -"} {
		w.in = ""
		r := w.run(append(strings.Fields(args), "--allow-empty")...)
		assert.Equal(t, 0, r.code, r.err)
	}
	for command, done := range map[string]string{
		"get-attr": "", "remove-attr --names city": "0 done\n", "tags add --tags gold": "0 done\n", "tags get": "",
	} {
		w.in = "\ufeff\nTo_Account\n"
		args := append(strings.Fields(command), "--file", "-")
		r := w.run(args...)
		assert.Equal(t, 3, r.code)
		assert.Contains(t, r.err, "stdin: there are no accounts in it")
		r = w.run(append(args, "--allow-empty")...)
		assert.Equal(t, 0, r.code)
		assert.Equal(t, done, r.out, command)
	}
}

func TestDelimiters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, args, shown string }{
		{"To_Account;city\nmary;Rome, Italy\n", "", `";"`},
		{"To_Account\tcity\nmary\tRome, Italy\n", "", "tab"},
		{"to_account|city\nmary|Rome, Italy\n", "", `"|"`},
		{"sep=;\nTo_Account;city\nmary;Rome, Italy\n", "", `";"`},
		{"\ufeff\"sep=;\"\r\nTo_Account;city\r\nmary;Rome, Italy\r\n", "", `";"`},
		{"sep=\t\nTo_Account\tcity\nmary\tRome, Italy\n", "", "tab"},
		{"sep=;\nTo_Account#city\nmary#Rome, Italy\n", "--delimiter #", `"#"`},
		{"To_Account,\" city\"\nmary,\"Rome, Italy\"\n", "", `","`},
		{"city;x;\"To_Account\"\nRome, Italy;;mary\n", "--ignore x", `";"`},
	} {
		w := newWorld(t)
		w.write("u.csv", test.text)
		args := append([]string{"set-attr", "u.csv"}, strings.Fields(test.args)...)
		r := w.run(append(args, "--dry-run")...)
		require.Equal(t, 0, r.code, r.err)
		assert.Contains(t, r.out, "CSV with "+test.shown+" between fields, UTF-8, 1 row\n")
		assert.Contains(t, r.out, `attribute "city"`)
		assert.Contains(t, r.out, "Rome, Italy")
		r = w.run(args...)
		require.Equal(t, 0, r.code, r.err)
		assert.Equal(t, map[string]string{"city": "Rome, Italy"}, w.fake.Attrs("mary"))
	}
	w := newWorld(t)
	w.write("u.csv", "sep=;\nTo_Account;city\n;Rome\n")
	assert.Contains(t, w.run("set-attr", "u.csv").err, "u.csv:3: column To_Account: the account is empty", "lines are counted as an editor counts them")
	for _, text := range []string{"uid;city\nmary;Rome, Italy\n", "uid\tcity\nmary\tRome\n", "uid|city\n"} {
		w.write("u.csv", text)
		assert.Contains(t, w.run("set-attr", "u.csv").err, `the columns are "uid", "city`)
	}
	w.write("u.csv", "uid;city\nmary;Rome, Italy\n")
	assert.Equal(t, 0, w.run("set-attr", "--account", "uid", "u.csv").code)
}

// A quotation mark that is not closed takes the rows after it into a value.
func TestQuotesThatAreNotClosed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"To_Account,city\na,\"Rome\nb,Bonn\"\nc,Oslo\n":               "u.csv:2:3: a quoted value spans the lines 2 to 3: is a quote not closed?",
		"To_Account,city,sex\na,\"Rome,f\nb,Bonn,f\nx\",m\nc,Oslo,\n": "u.csv:2:3: a quoted value spans the lines 2 to 4: is a quote not closed?",
	} {
		w := newWorld(t)
		w.write("u.csv", text)
		r := w.run("set-attr", "u.csv")
		assert.Equal(t, 1, r.code)
		assert.Contains(t, r.err, want)
		assert.Equal(t, []string{"c"}, w.fake.Accounts())
	}
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\na,\"Rome\nb,Bonn\nc,Oslo\n")
	r := w.run("set-attr", "u.csv")
	assert.Equal(t, 3, r.code)
	assert.Contains(t, r.err, "the quote that begins in the row of line 2 is not closed")
}

// TestTextsOfSeveralLines: columns that are ignored may have them, as addresses and notes do. Rows in such a column are still found.
func TestTextsOfSeveralLines(t *testing.T) {
	t.Parallel()
	text := "To_Account,name,note,city\r\n" +
		"a,Ann,\"12 Long Street, second floor\nSpringfield, 12345\nin the north of the country, as it was told\",Rome\r\n" +
		"b,Bob,\"one, two, three, four, five, six\nseven\",Rome\r\n" +
		"c,Carl,\"never closed,Rome\nd,Dan,x,Rome\ne,Eve,y\",Rome\r\nf,Fay,,Rome\r\n"
	w := newWorld(t)
	w.write("u.csv", text)
	r := w.run("set-attr", "--only", "city", "u.csv")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "a quoted value spans the lines 7 to 9: is a quote not closed?")
	assert.Equal(t, []string{"a", "b", "f"}, w.fake.Accounts())
	r = w.run(helloAt(30)...)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.out, "3 done\n1 rejected")
}

// TestRowsInATextOfSeveralLines: a quote that is not closed is found in a column that is ignored also where rows in between are not like the
// others, and where the next quote is in another column.
func TestRowsInATextOfSeveralLines(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an empty line":             "To_Account,title,city\nu1,\"abc,Rome\nu2,x,Rome\n\nu3,y,Rome\nu4,z\",Rome\nu5,k,Rome\n",
		"a comma without quotes":    "To_Account,title,city\nu1,\"abc,Rome\nu2,Big, bad wolf,Rome\nu3,y,Rome\nu4,24, or 24\",Rome\nu5,k,Rome\n",
		"spaces after commas":       "To_Account,title, city\nu1,\"abc, Rome\nu2,x, Rome\nu3,y, Rome\nu4,z\", Rome\nu5,k, Rome\n",
		"a row with fewer fields":   "To_Account,city,title\nu1,Rome,\"abc\nu2,Rome,x\nu3,Rome\nu4,Rome,y\nu4,Rome,z\"\nu5,Rome,k\n",
		"closed in the last column": "To_Account,title,city\nu1,\"abc,Rome\nu2,x,Rome\nu3,y,Rome\nu4,z,Rome\"\nu5,k,Rome\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("u.csv", text)
			for _, args := range [][]string{{"set-attr", "--ignore", "title", "u.csv"}, helloAt(30)} {
				r := w.run(args...)
				assert.Equal(t, 1, r.code)
				assert.Contains(t, r.out+r.err, "is a quote not closed?")
			}
			assert.Equal(t, []string{"u5"}, w.fake.Accounts())
		})
	}
	w := newWorld(t)
	w.write("u.csv", "To_Account,note\nu1,\"Dear Ann,\nwe saw it, and, yes,\nit is fine, Bob\"\nu2,\"12 Long Street, second floor\nSpringfield, 12345\"\n")
	assert.Equal(t, 0, w.run(helloAt(30)...).code)
}

// Texts that programs write for no value are not sent without a word.
func TestTextsForNoValue(t *testing.T) {
	t.Parallel()
	text := "To_Account,city,sex\na,NULL,f\nb,\\N,f\nc,nan,f\nd, \u00a0,f\ne,Nan,f\nNULL,Rome,f\n\\N,Rome,f\n"
	w := newWorld(t)
	w.write("u.csv", text)
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "u.csv:2: column city: the value is NULL, which may mean that there is none: give --null NULL to leave the attribute alone, or --null= to send it")
	assert.Contains(t, r.err, "u.csv:4: column city: the value is nan")
	assert.Contains(t, r.err, `u.csv:8: column To_Account: the account is \N`)
	assert.Contains(t, r.out, `2 cells taken for empty: white space, \N, or a text of --null`)
	assert.Equal(t, map[string]string{"sex": "f"}, w.fake.Attrs("b"))
	assert.Equal(t, map[string]string{"sex": "f"}, w.fake.Attrs("d"))
	assert.Equal(t, "Nan", w.fake.Attrs("e")["city"], "it is a town")

	for _, fault := range []string{"#SPILL!", "########", "Err:502", "None", "NaT", "(null)", "<null>", "[NULL]", "undefined", // of formulas, a column that is too narrow for its dates, and other programs
		"(NULL)", "<NULL>", "[object Object]", "-nan", "1.#QNAN", "#ERROR!", "#WERT!", "#NV", "#N/D", "#¡VALOR!", "#¿NOMBRE?", "#ЗНАЧ!", "#VÄRDEFEL!", "N/A", "n/a", "Null", "<nil>", "(nil)", "."} {
		w.write("e.csv", "To_Account,city\na,"+fault+"\n")
		assert.Contains(t, w.run("set-attr", "e.csv").err, "e.csv:2: column city: the value is "+fault)
	}
	w.write("e.csv", "To_Account,city\na,#WERT!\n")
	assert.Contains(t, w.run("set-attr", "e.csv").err, "give --null '#WERT!' to leave", "a shell would take it for a comment")
	for _, value := range []string{"#winner!", "#1", "#N", "C#", "Nv"} {
		w.write("e.csv", "To_Account,city\nz,"+value+"\n")
		require.Equal(t, 0, w.run("set-attr", "e.csv").code, value)
		assert.Equal(t, value, w.fake.Attrs("z")["city"])
	}

	r = w.run("set-attr", "--null", "NULL", "u.csv")
	assert.Contains(t, r.err, "u.csv:4: column city: the value is nan", "what was not named is as doubtful as before")
	assert.Equal(t, map[string]string{"sex": "f"}, w.fake.Attrs("b"), `\N is no value either`)
	assert.Empty(t, w.fake.Attrs("c"))
	r = w.run("set-attr", "--null", "NULL,nan", "u.csv")
	assert.Equal(t, 1, r.code, "an account must be one")
	assert.Equal(t, map[string]string{"sex": "f"}, w.fake.Attrs("a"))
	assert.Equal(t, map[string]string{"sex": "f"}, w.fake.Attrs("c"))
	r = w.run("set-attr", "--null=", "u.csv")
	assert.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "NULL", w.fake.Attrs("a")["city"])
	assert.Equal(t, `\N`, w.fake.Attrs("b")["city"])
}

// TestNotAvailable: write.csv of R writes NA where there is no value. Where it may be Namibia it is sent, but not without a word.
func TestNotAvailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "\"To_Account\",\"city\",\"country\"\n\"mary\",\"Windhoek\",\"NA\"\n\"bob\",NA,\"IT\"\nNA,\"Rome\",\"IT\"\n")
	const note = "2 values NA, which R writes where there is none, sent as it is: --null NA leaves the attribute alone"
	r := w.run("set-attr", "--dry-run", "u.csv")
	assert.Contains(t, r.out, note)
	assert.Contains(t, r.err, "u.csv:4: column To_Account: the account is NA, which may mean that there is none: give --null= to send it")
	assert.Contains(t, w.run("set-attr", "u.csv").out, "2 done\n1 rejected")
	assert.ElementsMatch(t, []string{"mary", "bob"}, w.fake.Accounts())
	assert.Contains(t, w.run("batch", "--title", "x", "--yes", "u.csv").out, "2 done\n1 rejected")

	w.write("list", "mary\nNA\n")
	assert.Contains(t, w.run("tags", "add", "--tags", "gold", "--file", "list").err, "list:2:1: NA may mean that there is no account")

	w = newWorld(t)
	w.write("u.csv", "To_Account,city\nNA,NA\nmary,NA\n")
	w.run("set-attr", "--null", "NA", "u.csv")
	assert.Empty(t, w.fake.Attrs("mary"))
	r = w.run("set-attr", "--null=", "u.csv")
	assert.NotContains(t, r.out, "which R writes")
	assert.Equal(t, "NA", w.fake.Attrs("NA")["city"])
}

// TestJoinedFiles: the header of the second one is not a user.
func TestJoinedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", strings.Repeat("To_Account,city\nmary,Rome\n", 2))
	r := w.run("set-attr", "u.csv")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "u.csv:3:1: it names the columns, and is no user: were files joined?")
	assert.Equal(t, []string{"mary"}, w.fake.Accounts())

	for _, other := range []string{"To_Account,level\nmary,7\n", "level,to_account\n7,mary\n"} { // what follows are no cities
		w.write("u.csv", "To_Account,city\nmary,Rome\n"+other)
		r = w.run("set-attr", "u.csv")
		assert.Equal(t, 3, r.code)
		assert.Contains(t, r.err, "u.csv: line 3 names other columns than the first line: were files joined? Send each alone")
		assert.Equal(t, "Rome", w.fake.Attrs("mary")["city"])
		require.NoError(t, os.Remove(filepath.Join(w.dir, "u.csv.checkpoint")))
	}
	w.write("u.csv", "To_Account,city\nmary,Rome\nTo_Account,level\nbob,7\n")
	r = w.run("batch", "--title", "x", "--yes", "u.csv")
	assert.Equal(t, 1, r.code)
	require.Len(t, w.fake.Pushes(), 1)
	assert.Equal(t, []string{"mary", "bob"}, w.fake.Pushes()[0].Accounts, "other columns than that of the account do not matter")
}

// TestOtherColumnsFurtherDown: what follows them are the rows of another file or table. Of a sheet 7 was set as the city, and with columns in
// another order, or an account with a name of its own, it was so with exit code 0, and a push went to Oslo.
func TestOtherColumnsFurtherDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	push := []string{"batch", "--title", "x", "--yes"}
	for name, c := range map[string]struct {
		table string
		args  []string
	}{
		"other attribute":              {"To_Account,city\nmary,Rome\nTo_Account,sex\nbob,f", []string{"set-attr"}},
		"other order, and one in use":  {"To_Account,city,sex\nmary,Rome,f\ncity,To_Account,sex\nOslo,bob,m", []string{"set-attr", "--only", "sex"}},
		"other order, for a push":      {"To_Account,city\nmary,Rome\ncity,To_Account\nOslo,bob", push},
		"other attribute of a uid":     {"uid,city\nmary,Rome\nuid,sex\nbob,f", []string{"set-attr", "--account", "uid"}},
		"other order of a uid":         {"uid,city\nmary,Rome\ncity,UID\nOslo,bob", []string{"set-attr", "--account", "uid"}},
		"other order of a uid, a push": {"uid,name\nmary,M\nname,uid\nBob,bob", append(push, "--account", "uid")},
	} {
		var rows [][]any
		for line := range strings.Lines(c.table) {
			var row []any
			for _, field := range strings.Split(strings.TrimSpace(line), ",") {
				row = append(row, field)
			}
			rows = append(rows, row)
		}
		w.write("u.csv", c.table+"\n")
		w.write("u.xlsx", string(workbook(t, rows)))
		for file, want := range map[string]string{
			"u.csv":  "line 3 names other columns than the first line: were files joined? Send each alone",
			"u.xlsx": "row 3 names other columns than the first row: are there several tables in the sheet? Give each a sheet of its own",
		} {
			r := w.run(append(c.args, file)...)
			assert.Equal(t, 3, r.code, name)
			assert.Contains(t, r.err, file+": "+want, name)
			_ = os.Remove(filepath.Join(w.dir, file+".checkpoint"))
		}
	}
	assert.Equal(t, []string{"mary"}, w.fake.Accounts())
	assert.Empty(t, w.fake.Pushes())

	w.write("users.csv", "user,city\nuser,Rome\ncity,Oslo\nzoe,user\n")
	r := w.run("set-attr", "--account", "user", "users.csv")
	assert.Equal(t, 0, r.code, r.err)
	assert.Equal(t, map[string]string{"city": "user"}, w.fake.Attrs("zoe"), "they are names of columns, too")
	assert.Equal(t, map[string]string{"city": "Rome"}, w.fake.Attrs("user"))
}

// TestTextsForPrograms: a script that printed what a client of Redis returned gave tags to b'mary'.
func TestTextsForPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shown := []string{`b'mary'`, `b"O'Neil"`, `ObjectId("507f1f77bcf86cd799439011")`, `new ObjectId('507f1f77bcf86cd799439011')`, `ObjectId(507f1f77bcf86cd799439011)`,
		`UUID('507f1f77-bcf8-6cd7-9943-9011507f1f77')`, `NumberLong(5)`, `NumberLong("5")`, `Decimal('5')`, `1) "mary"`, `12) "mary"`}
	w.write("list.txt", strings.Join(shown, "\n")+"\nb'\nmary (b)\nLong\nDecimal\n(mary)\n1)\n")
	r := w.run("tags", "add", "--tags", "gold", "--file", "list.txt")
	assert.Equal(t, 1, r.code)
	assert.Equal(t, len(shown), strings.Count(r.err, "the account is a text as programs show it to programmers, such as b'mary'"), r.err)
	assert.Equal(t, "6 done\n", r.out, "the others can be accounts")

	w = newWorld(t)
	w.write("u.csv", "To_Account,city\nb'mary',Rome\n\"('mary',)\",Rome\na,b'Rome'\nb,Rome (b)\n")
	r = w.run("set-attr", "u.csv")
	assert.Contains(t, r.out, "1 done\n3 rejected")
	assert.Contains(t, r.err, "u.csv:4: column city: the value is a text as programs show it to programmers, such as b'Rome'")
	w.run("set-attr", "--null=", "u.csv")
	assert.Equal(t, "b'Rome'", w.fake.Attrs("a")["city"])
	assert.ElementsMatch(t, []string{"a", "b"}, w.fake.Accounts())
}

// TestTextsWithEscapes: ClickHouse, and mysql without --raw, put a backslash before others in files with tabs, and ClickHouse before ' too. L\'Aquila
// was sent, and CORP\\mary got what was meant for CORP\mary.
func TestTextsWithEscapes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.tsv", "To_Account\tcity\nmary\tL\\'Aquila\nCORP\\\\mary\tRome\nbob\tback\\\\slash\nCORP\\tom\tRome\nann\t\\o/\n")
	r := w.run("set-attr", "u.tsv")
	assert.Contains(t, r.out, "2 done\n3 rejected")
	assert.Contains(t, r.err, "u.tsv:2: column city: the value has a backslash before a quotation mark or another backslash")
	assert.Contains(t, r.err, "u.tsv:3: column To_Account: the account has a backslash before a quotation mark or another backslash")
	assert.ElementsMatch(t, []string{`CORP\tom`, "ann"}, w.fake.Accounts(), "a single one is a part of them")
	w.run("set-attr", "--null=", "u.tsv")
	assert.Equal(t, `L\'Aquila`, w.fake.Attrs("mary")["city"])

	w.write("list", "CORP\\\\mary\nmary\n")
	r = w.run("tags", "add", "--tags", "gold", "--file", "list")
	assert.Contains(t, r.err, "list:1:1: the account has a backslash before")
	assert.Equal(t, "1 done\n", r.out)
}

func TestSpacesAroundValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\na, Rome\u00a0\n")
	r := w.run("set-attr", "u.csv")
	assert.Contains(t, r.out, "1 value with white space around, sent as it is: --trim removes it")
	assert.Equal(t, " Rome\u00a0", w.fake.Attrs("a")["city"])
	w.run("set-attr", "--trim", "u.csv")
	assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
}

// What was understood is shown before anything is sent, and a dry run shows rows as well.
func TestWhatIsUnderstood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var text strings.Builder
	text.WriteString("uid;town;sex;note\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "user%d;Llanfairpwllgwyngyll %d;f;secret\n", i, i)
	}
	w.write("u.csv", text.String())
	args := []string{"set-attr", "--account", "uid", "--map", "town=city", "--ignore", "note", "u.csv"}
	r := w.run(append(args, "--dry-run")...)
	require.Equal(t, 0, r.code, r.err)
	assert.Regexp(t, `^u.csv: CSV with ";" between fields, UTF-8, about 5[0-3]00 rows
  uid   account
  town  attribute "city"
  sex   attribute "sex"
  note  ignored
The first rows:
  user0  Llanfairpwll…  f
  user1  Llanfairpwll…  f
`, r.out)
	assert.NotContains(t, r.out, "secret")
	calls := len(w.fake.Calls())
	assert.Equal(t, 1, calls, "the names are asked for once")
	r = w.run(args...)
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.err, `town  attribute "city"`)
	assert.NotContains(t, r.err, "user0", "a log has no values")
	assert.Empty(t, w.run(append(args, "--quiet")...).err)
	first := lines(t, w.run(append(args, "--json")...).out)[0]
	assert.Equal(t, "input", first["event"])
	assert.Equal(t, ";", first["input"].(map[string]any)["delimiter"])
}

// One question finds a column that is not an attribute, before anything is sent.
func TestColumnsThatAreNotAttributes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"u.csv": "To_Account,City\na,Rome\n", "u.ndjson": `{"To_Account":"a","City":"Rome"}` + "\n" + `{"To_Account":"b","City":"Rome"}`,
		"api.ndjson": `{"To_Account":"a","Attrs":{"City":"Rome"}}`,
	} {
		w := newWorld(t)
		w.write(name, text)
		r := w.run("set-attr", name)
		assert.Equal(t, 2, r.code, r.err)
		assert.Contains(t, r.err, name+`: the column "City" is the attribute "City", which the app does not have; the nearest that it has is "city": give --map City=city or --ignore City`)
		assert.Len(t, w.fake.Calls(), 1)
		assert.False(t, w.has(name+".checkpoint"))
	}
	w := newWorld(t)
	w.write("u.csv", "To_Account,zip\na,Rome\n")
	r := w.run("set-attr", "--dry-run", "u.csv")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "which the app does not have: give --map zip=ATTRIBUTE or --ignore zip\nThe app has: city, country, sex.")
	r = w.run("set-attr", "--map", "zip=citty", "u.csv")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, `the nearest that it has is "city"`)
	w.write("u.csv", "To_Account,Letzter Kauf,US$\na,Rome,1\n")
	assert.Regexp(t, "give --map \"Letzter Kauf=ATTRIBUTE\" or --ignore \"Letzter Kauf\"\n.*--map 'US\\$=ATTRIBUTE' or --ignore 'US\\$'", w.run("set-attr", "u.csv").err, "all columns, for a shell")
	w.write("u.csv", "To_Account,\"Name, first\",\"5\"\" disc\",\"Home\ncity\"\na,x,y,Rome\n")
	r = w.run("set-attr", "u.csv")
	for _, advice := range []string{
		`--ignore '"Name, first"'`, `--map "Name, first=ATTRIBUTE"`, `--ignore '"5"" disc"'`, `--ignore $'\"Home\ncity\"'`, `--map $'\"Home\ncity=ATTRIBUTE\"'`,
	} {
		assert.Contains(t, r.err, advice)
	}
	r = w.run("set-attr", "--ignore", `"Name, first"`, "--ignore", `"5"" disc"`, "--map", "\"Home\ncity=city\"", "u.csv")
	assert.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "Rome", w.fake.Attrs("a")["city"])
	assert.Equal(t, 2, w.run("set-attr", "--ignore", "\"Name, first\",\"Home\ncity\"", "u.csv").code, "the third is none of the app's")
	assert.Contains(t, w.run("set-attr", "--map", "Name, first=city", "--ignore", "\"5\"\" disc\",\"Home\ncity\"", "--dry-run", "u.csv").out, `1  set "city"`)
	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, ",column %d", i)
	}
	w.write("u.csv", "To_Account"+many.String()+"\na"+strings.Repeat(",1", 2000)+"\n")
	r = w.run("set-attr", "u.csv")
	assert.Contains(t, r.err, "u.csv: so are 1990 more columns")
	assert.Less(t, len(r.err), 6000)
}

// A spreadsheet on Windows writes CSV in the encoding of the country. What is read wrongly is never sent.
func TestEncoding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("de.csv", "To_Account;city\na;Z\xfcrich\nb;Rome\n")
	r := w.run("set-attr", "de.csv")
	assert.Contains(t, r.err, `CSV with ";" between fields, not all of it UTF-8, 2 rows`)
	assert.Contains(t, r.err, "de.csv:2: column city: it is not UTF-8: save the file as CSV UTF-8, or give its encoding, such as --encoding windows-1252 or gbk")
	r = w.run("set-attr", "--encoding", "Windows-1252", "de.csv")
	assert.Contains(t, r.err, "windows-1252, 2 rows")
	assert.Equal(t, "Zürich", w.fake.Attrs("a")["city"])
	w.write("cn.csv", "To_Account,\xb3\xc7\xca\xd0\nc,\xb1\xb1\xbe\xa9\nd,\xff\xff\n")
	r = w.run("set-attr", "--encoding", "gbk", "--map", "城市=city", "cn.csv")
	assert.Equal(t, 1, r.code, r.err)
	assert.Equal(t, "北京", w.fake.Attrs("c")["city"])
	assert.Contains(t, r.err, "cn.csv:3: column 城市: it is not in the encoding of --encoding")
	assert.Empty(t, w.fake.Attrs("d"))

	w.write("cn.csv", "To_Account,sex\ng,\xc5\xae\nh,\xc4\xd0\ni,\xc4\xd0\n") // 女, which is Ů of UTF-8, and 男
	r = w.run("set-attr", "cn.csv")
	assert.Contains(t, r.out, "0 done\n3 rejected")
	assert.Contains(t, r.err, "cn.csv:2: column sex: it is not UTF-8")
	w.write("cn.csv", "To_Account,city\ng,Kolín\nh,Zürich\nh,Z\xfcrich\n")
	assert.Contains(t, w.run("set-attr", "cn.csv").out, "2 done\n1 rejected", "most of it is UTF-8")
	w.write("cn.csv", "To_Account,city\nh,Z\xfcrich\ng,Kolín\n")
	assert.Contains(t, w.run("set-attr", "cn.csv").out, "1 done\n1 rejected", "one damaged place says nothing of the others")

	w.write("utf8.csv", "To_Account,city\ne,Köln\nf,Zürich\n") // of a program that was changed, while the job has the flag as before
	for _, encoding := range []string{"windows-1252", "windows-1251"} {
		r = w.run("set-attr", "--encoding", encoding, "utf8.csv")
		assert.Equal(t, 2, r.code)
		assert.Contains(t, r.err, "utf8.csv: it is in UTF-8, and not in the encoding of --encoding: leave that out")
	}
	assert.Empty(t, w.fake.Attrs("e"))
	require.Equal(t, 0, w.run("set-attr", "--encoding", "utf-8", "utf8.csv").code)
	assert.Equal(t, "Köln", w.fake.Attrs("e")["city"])
	w.write("utf8.csv", "To_Account,city\ne,北京上海广州\nf,深圳天津\n")
	assert.Equal(t, 2, w.run("set-attr", "--encoding", "gbk", "utf8.csv").code)
	for encoding, few := range map[string]string{"windows-1252": "e,Köln", "gbk": "e,北京", "shift_jis": "e,東京", "big5": "e,臺北"} { // as on a day with few changes
		w.write("few.csv", "To_Account,city\n"+few+"\n")
		r = w.run("set-attr", "--encoding", encoding, "few.csv")
		assert.Equal(t, 2, r.code, encoding)
		assert.Contains(t, r.err, "few.csv: it is in UTF-8, and not in the encoding of --encoding", encoding)
		w.write("late.csv", "To_Account,city\n"+strings.Repeat("late,Rome\n", 8000)+few+"\n")
		r = w.run("set-attr", "--encoding", encoding, "--restart", "late.csv")
		assert.Equal(t, 3, r.code, encoding)
		assert.Contains(t, r.err, "late.csv: it is in UTF-8, and not in the encoding of --encoding", encoding)
	}
	assert.Equal(t, "Köln", w.fake.Attrs("e")["city"])
	for name, marked := range map[string]string{"UTF-8": "\ufeffmary\nbob\n", "UTF-16": "\xff\xfem\x00\n\x00b\x00\n\x00"} { // a push would go to ï»¿mary
		w.write("marked.csv", marked)
		for _, encoding := range []string{"windows-1252", "gbk"} {
			r = w.run("batch", "--no-header", "--title", "x", "--yes", "--encoding", encoding, "marked.csv")
			assert.Equal(t, 2, r.code, encoding)
			assert.Contains(t, r.err, "marked.csv: it is in "+name+", and not in the encoding of --encoding: leave that out", encoding)
		}
	}
	assert.Empty(t, w.fake.Pushes())
	w.write("women.csv", "To_Account,city\n"+strings.Repeat("g,\xc5\xae\n", 20)) // each is a character of UTF-8, too
	require.Equal(t, 0, w.run("set-attr", "--encoding", "gbk", "women.csv").code)
	assert.Equal(t, "女", w.fake.Attrs("g")["city"])
	assert.Contains(t, w.run("set-attr", "--encoding", "klingon", "cn.csv").err, "--encoding klingon: it is not known")
	w.write("u.ndjson", "{}")
	assert.Contains(t, w.run("set-attr", "--encoding", "gbk", "u.ndjson").err, "--encoding is for CSV")
}

// A spreadsheet shows long numbers shortened, and saves them so.
func TestShortenedNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account;city\n4,91512E+12;Rome\n1.5E+17;Rome\nb;4.91512E+12\n1E+;Rome\n")
	r := w.run("set-attr", "u.csv")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.out, "2 done\n2 rejected")
	assert.Contains(t, r.out, "2  the account is a number that a spreadsheet or another program has shortened")
	assert.Contains(t, r.out, "1 value such as 4.91512E+12")
}

// TestTextsForSpreadsheets: programs write ="007" or '007 so that a spreadsheet keeps the zeros, and '-7 so that it calculates nothing.
func TestTextsForSpreadsheets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", `To_Account,city
"=""0049151""",Rome
'+49151,Rome
a,"=""007"""
b,'-7
c,'s-Hertogenbosch
=d,=1
'0049151,Rome
e,'0049151
f,'68
'mary',Rome
`)
	w.write("u.ndjson", `{"To_Account":"'+49151","city":"Rome"}`)
	w.write("accounts.txt", "=\"0049151\"\n'+49151\n=d\n'0049151\n'mary'\n'\n")
	r := w.run("set-attr", "u.csv", "u.ndjson")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.out, "3 done\n8 rejected")
	assert.Contains(t, r.err, "u.csv:2: column To_Account: the account is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "u.csv:4: column city: the value is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "u.csv:8: column To_Account: the account is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "u.csv:9: column city: the value is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "u.csv:11: column To_Account: the account is in quotation marks")
	r = w.run("tags", "add", "--tags", "gold", "--file", "accounts.txt")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "accounts.txt:2:1: the account is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "accounts.txt:4:1: the account is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "accounts.txt:5:1: the account is in quotation marks")
	assert.Equal(t, "2 done\n", r.out)
	assert.ElementsMatch(t, []string{"c", "=d", "f"}, w.fake.Accounts())
	assert.Equal(t, "'s-Hertogenbosch", w.fake.Attrs("c")["city"])

	w.write("b.csv", "To_Account,city\nb,'-7\n")
	assert.Equal(t, 0, w.run("set-attr", "--null=", "b.csv").code)
	assert.Equal(t, "'-7", w.fake.Attrs("b")["city"])
}

// TestTabsBesideValues: shops and banks in China write a tab behind each number, so that a spreadsheet keeps all of its digits.
func TestTabsBesideValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\n\"13800138001\t\",\"310000\t\"\n13800138002,\t310000\n13800138003,a\tb\n13800138004,\t\n")
	r := w.run("set-attr", "u.csv")
	assert.Contains(t, r.out, "1 done\n2 rejected")
	assert.Contains(t, r.err, "u.csv:2: column city: the value has a tab beside it, as programs write it for a spreadsheet")
	assert.Equal(t, "a\tb", w.fake.Attrs("13800138003")["city"])
	w.run("set-attr", "--trim", "u.csv")
	assert.Equal(t, "310000", w.fake.Attrs("13800138001")["city"])
	w.write("e.csv", "To_Account,city,sex\na,4.91512E+12\t,NA \n")
	w.run("set-attr", "--trim", "e.csv")
	assert.Equal(t, map[string]string{"city": "4.91512E+12", "sex": "NA"}, w.fake.Attrs("a"), "what is counted otherwise is trimmed, too")
	w.run("set-attr", "--null=", "u.csv")
	assert.Equal(t, "310000\t", w.fake.Attrs("13800138001")["city"])
	assert.Contains(t, w.run("batch", "--title", "x", "--yes", "u.csv").out, "4 done")
}

// TestTextsOfBills: WeChat Pay puts a ` before each value of its bills, so that a spreadsheet takes it for a text.
func TestTextsOfBills(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\n`mary,`北京\nbob,`12.00\n`ann`,Rome\neve,`Rome`\n`,x\n")
	r := w.run("set-attr", "u.csv")
	assert.Contains(t, r.out, "2 done\n3 rejected")
	assert.Contains(t, r.err, "u.csv:2: column To_Account: the account is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "u.csv:3: column city: the value is a text as programs write it for a spreadsheet")
	assert.Contains(t, r.err, "u.csv:4: column To_Account: the account is in quotation marks")
	assert.ElementsMatch(t, []string{"eve", "`"}, w.fake.Accounts())
	w.run("set-attr", "--null=", "u.csv")
	assert.Equal(t, "`12.00", w.fake.Attrs("bob")["city"])
}

// TestRoundedAccounts: a spreadsheet keeps 15 digits of a number, also where its format shows all.
func TestRoundedAccounts(t *testing.T) {
	t.Parallel()
	for text, refused := range map[string]bool{
		"123456789012345000\n223456789012346000\nmary\n":              true,
		"12345678901234000\n":                                         false, // by chance, or by intention
		"123456789012345000\n123456789012345000\n":                    false, // it is one
		"123456789012345000\n223456789012346000\n32345678901234567\n": false,
		"100000\n200000000000000\n":                                   false,
	} {
		w := newWorld(t)
		w.write("u.csv", "sep=;\ncity;To_Account\nRome;"+strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\nRome;")+"\n")
		w.write("list.csv", text)
		for _, line := range []string{"set-attr u.csv", "batch --no-header --title x --yes list.csv", "tags add --tags gold --file list.csv", "get-attr --file list.csv"} {
			r := w.run(strings.Fields(line)...)
			assert.Equal(t, refused, r.code == 3, "%s%s", text, r.err)
			assert.Equal(t, refused, strings.Contains(r.err, "accounts such as 223456789012346000 have nothing but zeros behind their 15th digit"), r.err)
		}
	}
}

// TestAccountsThatBecameDates: a spreadsheet makes the date 12-Oct of 10-12, and 1-Mar or 3月1日 of MAR1.
func TestAccountsThatBecameDates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dates := []string{"12-Oct", "1-Mar", "Mar-01", "10月12日", "2024年3月1日", "2024年3月", "2024/10/12", "1/2/2024"}
	others := []string{"10-12", "MAR1", "Oct-2024", "12-Okt", "7/12", "2024-10-12", "1-Max", "u12-Oct"}
	w.write("list", strings.Join(append(dates, others...), "\n")+"\n")
	r := w.run("tags", "add", "--tags", "gold", "--file", "list")
	assert.Equal(t, 1, r.code)
	assert.Equal(t, len(dates), strings.Count(r.err, "the account is a date, such as 12-Oct"), r.err)
	assert.Equal(t, fmt.Sprintf("%d done\n", len(others)), r.out)

	w.write("u.csv", "To_Account,city\n12-Oct,Rome\na,12-Oct\n")
	assert.Contains(t, w.run("set-attr", "u.csv").err, "u.csv:2: column To_Account: the account is a date")
	assert.Equal(t, "12-Oct", w.fake.Attrs("a")["city"])
}

// TestNumbersWithFractions: Python makes floating-point numbers of the whole numbers of a column with empty cells. An account of
// them is another one, or has lost digits.
func TestNumbersWithFractions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\n4915112345678.00,a\n1.2345678901234568e+17,b\n1.0,2000.0\n")
	w.write("u.ndjson", "{\"To_Account\":4915112345678.0,\"city\":\"a\"}\n{\"To_Account\":1.2345678901234568e+17,\"city\":\"b\"}\n{\"To_Account\":\"1.0\",\"city\":2000.0}\n")
	for _, name := range []string{"u.csv", "u.ndjson"} {
		r := w.run("set-attr", name)
		assert.Equal(t, 1, r.code)
		assert.Contains(t, r.err, "the account is a number with a fraction, such as 4915112345678.0", name)
		assert.Contains(t, r.err, "the account is a number that a spreadsheet or another program has shortened", name)
		assert.Equal(t, "2000.0", w.fake.Attrs("1.0")["city"])
	}
	w.write("accounts.txt", "4915112345678.0\n4915112345678,0\n1.2345678901234568e+17\n")
	assert.Equal(t, 1, w.run("tags", "add", "--tags", "gold", "--file", "accounts.txt").code)
	assert.Len(t, w.fake.Accounts(), 1)
}

// Clients of databases print lines around the rows, also where they are told to put commas between the columns.
func TestLinesAroundRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("sqlcmd.csv", "To_Account,city\n----------,----\nmary,Rome\n-,Oslo\n\n(2 rows affected)\n")
	r := w.run("set-attr", "sqlcmd.csv")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "sqlcmd.csv:2: column To_Account: it is a line that psql, mysql, sqlcmd or another program prints around the rows")
	assert.ElementsMatch(t, []string{"mary", "-"}, w.fake.Accounts())
	const psql = " To_Account \n------------\n mary\n bob\n(2 rows)\n\n"
	w.write("psql.csv", psql)
	r = w.run("batch", "--title", "x", "--yes", "psql.csv")
	assert.Equal(t, 1, r.code)
	require.Len(t, w.fake.Pushes(), 1)
	assert.Equal(t, []string{"mary", "bob"}, w.fake.Pushes()[0].Accounts)
	w.write("list.txt", psql)
	r = w.run("get-attr", "--file", "list.txt")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "list.txt:2:1: it is a line that psql")
	assert.Contains(t, r.err, "list.txt:5:1: it is a line that psql")
	assert.Equal(t, 2, strings.Count(r.out, "\n"))

	w = newWorld(t)
	w.write("mysql.txt", "+-------+\n| id    |\n+-------+\n| mary  |\n+-------+\n2 rows in set (0.00 sec)\n\nauth0|7\n|\n+\n+49\n")
	w.write("sqlite.txt", "┌──────┬──────┐\n│ mary │ Rome │\n├──────┼──────┤\n└──────┴──────┘\n")
	w.write("rows.txt", "-[ RECORD 1 ]\n*************************** 1. row ***************************\nEmpty set (0.00 sec)\nno rows selected\n"+
		"2 rows selected.\n2 record(s) selected.\n2 Row(s) produced. Time Elapsed: 0.5s\nno rows\n2 rows\n*1. row*\n")
	for name, lines := range map[string]int{"mysql.txt": 6, "sqlite.txt": 4, "rows.txt": 7} {
		r = w.run("tags", "add", "--tags", "gold", "--file", name)
		assert.Equal(t, lines, strings.Count(r.err, "it is a line that psql, mysql"), r.err)
	}
	assert.Equal(t, []string{"gold"}, w.fake.Tags("auth0|7"))
	r = w.run("batch", "--title", "x", "--yes", "--no-header", "--delimiter", ",", "mysql.txt")
	assert.Equal(t, 1, r.code)
	require.Len(t, w.fake.Pushes(), 1)
	assert.Equal(t, []string{"auth0|7", "|", "+", "+49"}, w.fake.Pushes()[0].Accounts)
}

// TestNumbersAsTheyAreShown: the formats of a spreadsheet separate the digits of an account, and Java writes an exponent from eight digits on.
func TestNumbersAsTheyAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	others := []string{
		"1,234,567", "4,915.00", "12,34,567", "1\u00a0234\u00a0567", "1\u202f234\u202f567,00", "1'234'567", "1\u2019234\u2019567.50", "4.915112345678E12", "1.2345678E7",
	}
	accounts := []string{"1E7", "1,2", "192.168.100.200", "1234,567", "a1,234", "1,234b", "1 234 567", "1.2E", "12.5E7", "+1.5"}
	all := append(slices.Clone(others), accounts...)
	w.write("u.csv", "To_Account,city\n\""+strings.Join(all, "\",Rome\n\"")+"\",Rome\n")
	w.write("u.ndjson", "{\"To_Account\":\""+strings.Join(all, "\",\"city\":\"Rome\"}\n{\"To_Account\":\"")+"\",\"city\":\"Rome\"}\n{\"To_Account\":1.2345678E7}\n")
	for _, line := range []string{"set-attr u.csv", "set-attr u.ndjson"} {
		r := w.run(strings.Fields(line)...)
		assert.Equal(t, 1, r.code, r.err)
		assert.Equal(t, 7, strings.Count(r.err, "the account is a number with separators between its digits"), line)
		assert.Contains(t, r.err, "the account is a number with an exponent", line)
		assert.ElementsMatch(t, accounts, w.fake.Accounts(), line)
	}
	w.write("list.txt", strings.Join(slices.DeleteFunc(all, func(a string) bool { return strings.Contains(a, ",") }), "\n"))
	r := w.run("tags", "add", "--tags", "gold", "--file", "list.txt")
	assert.Equal(t, 3, strings.Count(r.err, "the account is a number with separators between its digits"))
	assert.Equal(t, 2, strings.Count(r.err, "the account is a number with an exponent"))
	assert.Equal(t, "6 done\n", r.out)
}

// A dry run without a configuration compares nothing; one with a wrong configuration says so.
func TestDryRunOfAWrongConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", "To_Account,city\na,Rome\n")
	w.write("settings.sh", "export TIMPUSH_SECRET_KEY="+strings.Repeat("k", 64)+"\n")
	require.NoError(t, os.Chmod(filepath.Join(w.dir, "settings.sh"), 0o644))
	w.env = []string{"HOME=" + w.dir}
	r := w.run("set-attr", "--dry-run", "--config", "settings.sh", "u.csv")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "others can read settings.sh: chmod 600 settings.sh")
	r = w.run("set-attr", "--dry-run", "u.csv")
	assert.Equal(t, 0, r.code)
	assert.Contains(t, r.err, "the app is not configured")
}

func TestWrongColumnsAreUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.in = "To_Account,city\na,Rome\n"
	w.write("u.csv", w.in)
	for _, args := range []string{
		"--account uid", "--map town=city", "--only town", "--only To_Account", "--only city --ignore city", "--ignore city", "--ignore To_Account", "--map To_Account=city",
	} {
		for _, more := range []string{" u.csv", " --dry-run u.csv", " -", " --dry-run -"} {
			assert.Equal(t, 2, w.run(append([]string{"set-attr"}, strings.Fields(args+more)...)...).code, args+more)
		}
	}
	assert.Empty(t, w.fake.Accounts())
}

// Large files with Windows line ends cost no more lines than others.
func TestLongFileInUTF16(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("u.csv", utf16le(strings.ReplaceAll(users(3000), "\n", "\r\n")+",x,f\r\n"))
	r := w.run("set-attr", "u.csv")
	require.Equal(t, 1, r.code, r.err)
	assert.Contains(t, r.err, "u.csv:3002: column To_Account: the account is empty")
	w.stored(3000)
}
