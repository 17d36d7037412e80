package text_test

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

// utf16Of encodes a text as UTF-16.
func utf16Of(order binary.AppendByteOrder, s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func readAll(t *testing.T, s string) (string, string) {
	t.Helper()
	var all []string
	encoding := ""
	for _, r := range []io.Reader{strings.NewReader(s), iotest.OneByteReader(strings.NewReader(s)), iotest.DataErrReader(strings.NewReader(s))} {
		decoded, err := text.NewReader(r)
		require.NoError(t, err)
		b, err := io.ReadAll(decoded)
		require.NoError(t, err)
		all, encoding = append(all, string(b)), decoded.Encoding()
	}
	require.Equal(t, all[0], all[1])
	require.Equal(t, all[0], all[2])
	return all[0], encoding
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"To_Account,city\nmary,Rome\n", "a\n", "mary", "账号,城市\n张三,北京\n一,二\n😀,x\n", "a", "", strings.Repeat("x,😀\n", 20000), "mary,上海大学,不上不下,上上,ਪੰਜਾਬ…,ഊട്ടി\n"} {
		for name, form := range map[string]struct{ encoding, text string }{
			"plain": {text.UTF8, s}, "BOM": {text.UTF8, "\ufeff" + s}, "two BOMs": {text.UTF8, "\ufeff\ufeff" + s},
			"little, BOM": {text.UTF16LE, utf16Of(binary.LittleEndian, "\ufeff"+s)}, "big, BOM": {text.UTF16BE, utf16Of(binary.BigEndian, "\ufeff"+s)},
			"little": {text.UTF16LE, utf16Of(binary.LittleEndian, s)}, "big": {text.UTF16BE, utf16Of(binary.BigEndian, s)},
		} {
			got, encoding := readAll(t, form.text)
			assert.Equal(t, s, got, name)
			if s != "" || strings.Contains(name, "BOM") {
				assert.Equal(t, form.encoding, encoding, name)
			}
		}
	}
}

func TestLineEnds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\r\nb\r\n": "a\nb\n", "a\rb\r": "a\nb\n", "a\rb": "a\nb", "a\r\r\nb\r\r\n": "a\nb\n", "a\nb\rc\n": "a\nb\rc\n", "a\r": "a\n",
		"a,\"x\ny\"\rb,z\r": "a,\"x\ny\"\nb,z\n", "a,\"x\ry\"\nb,z\n": "a,\"x\ry\"\nb,z\n", "": "", "\r\n": "\n", "a\r\n\r\nb": "a\n\nb", "a\r\r\r\nb": "a\r\r\nb",
	} {
		got, _ := readAll(t, in)
		assert.Equal(t, want, got, "%q", in)
		got, _ = readAll(t, utf16Of(binary.LittleEndian, "\ufeff"+in))
		assert.Equal(t, want, got, "%q in UTF-16", in)
	}
	long := strings.Repeat("0123456789abcde\r\n", 5000)
	got, _ := readAll(t, long)
	assert.Equal(t, strings.ReplaceAll(long, "\r", ""), got)
}

func TestWhatIsNoText(t *testing.T) {
	t.Parallel()
	_, err := text.NewReader(strings.NewReader("\xff\xfe\x00\x00a\x00\x00\x00"))
	require.ErrorContains(t, err, "UTF-32")
	for _, unmarked := range []string{"T\x00\x00\x00o\x00\x00\x00", "\x00\x00\x00T\x00\x00\x00o"} {
		_, err = text.NewReader(strings.NewReader(unmarked))
		require.ErrorContains(t, err, "UTF-32", "without a mark")
	}
	r, err := text.NewReader(strings.NewReader("\xff\xfea\x00b"))
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorContains(t, err, "ends in the middle of a character")
	for _, s := range []string{"To_Account,ci\x00ty\na,b\n", "\x00\x00\x00\x00", "a,b\nc,d\x00\xff\n"} {
		got, encoding := readAll(t, s)
		assert.Equal(t, text.UTF8, encoding, "%q", s)
		assert.Equal(t, s, got)
	}
	got, _ := readAll(t, "\xff\xfe\x00\xd8a\x00\x00\xdc\x00\xd8") // halves of surrogate pairs
	assert.False(t, utf8.ValidString(got))
	assert.Equal(t, "\xed\xa0\x80a\xed\xb0\x80\xed\xa0\x80", got)
	reason, at := text.Fault("x" + got)
	assert.Equal(t, "it has half of a character in UTF-16", reason)
	assert.Equal(t, 1, at)
}

func TestLines(t *testing.T) {
	t.Parallel()
	in := "\ufeffmary\r\n\r\n \u00a0bob\u200b \rcaf\xe9\n" + strings.Repeat("x", 100) + "\n  x\x00\nlast"
	var got []text.Line
	var faults []string
	for line, err := range text.Lines(strings.NewReader(in), 50) {
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		got = append(got, line)
	}
	require.Len(t, got, 3)
	for i, want := range []string{"1 mary", "3 bob", "7 last"} {
		number, line, _ := strings.Cut(want, " ")
		assert.Equal(t, line, got[i].Text)
		assert.Equal(t, number, string(rune('0'+got[i].Number)))
	}
	assert.Equal(t, "3:5: why", got[1].Fault(2, "why").Error())
	assert.Equal(t, []string{
		"4:4: it is not UTF-8", "5: the line is too long", "6:4: there is a NUL byte in it",
	}, faults)
}

func TestAccountFault(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"mary": "", "张三": "", "a b": "", "a\u200bb": "there is a character without width (U+200B) in it", "a\tb": "there is a control character (U+0009) in it",
		"a\x00": "there is a NUL byte in it", "\ufffd": "", "a\u0085": "there is a control character (U+0085) in it",
	} {
		reason, _ := text.AccountFault(in)
		assert.Equal(t, want, reason, "%q", in)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"city=Rome": "city=Rome", "": `""`, "a b": `"a b"`, `a"b`: `'a"b'`, "it's $5": `'it'\''s $5'`, "\x1b[31m'\n": `$'\x1b[31m\'\n'`,
	} {
		assert.Equal(t, want, text.Quote(in))
	}
}

// FuzzReader checks that any bytes are read to their end, that lines are as the whole text has them, and that what is valid
// stays valid in each encoding.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"a,b\r\n1,2\r\n", "\ufeffa\rb", "\xff\xfea\x00\r\x00\n\x00", "\xfe\xff\xd8\x00", "a\x00b\x00", "caf\xe9\n", "\r\r\r\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := text.NewReader(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		whole, err := io.ReadAll(r)
		if err == nil && r.Encoding() == text.UTF8 && strings.Count(string(data), "\r") == 0 {
			require.Equal(t, strings.TrimLeft(string(data), "\ufeff"), string(whole))
		}
		last := 0
		for line, err := range text.Lines(strings.NewReader(string(data)), 100) {
			var fault *text.Error
			if err != nil {
				fault, _ = err.(*text.Error) //nolint:errorlint // it is passed on as it is
			}
			switch {
			case fault != nil:
				require.Greater(t, fault.Line, last)
				last = fault.Line
			case err == nil:
				require.Greater(t, line.Number, last)
				require.True(t, utf8.ValidString(line.Text))
				require.Equal(t, text.Trim(line.Text), line.Text)
				require.NotEmpty(t, line.Text)
				last = line.Number
			}
		}
		if s := string(data); utf8.ValidString(s) && !strings.ContainsAny(s, "\r\x00\ufeff") && s != "" {
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				got, err := text.NewReader(strings.NewReader(utf16Of(order, "\ufeff"+s)))
				if err != nil {
					continue // what looks like UTF-32
				}
				b, err := io.ReadAll(got)
				if err != nil {
					require.ErrorContains(t, err, "where files were joined") // characters of East Asia beside those of India
					continue
				}
				require.Equal(t, s, string(b))
			}
		}
	})
}
