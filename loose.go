package timpush

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What the service sends is not always of the documented type: numbers come as strings, and the other way round. The
// functions of this file read it into plain structs nevertheless.

// looseUnmarshalers read a value of any type. What cannot be one of the wanted type is zero, or -1 in place of a number.
var looseUnmarshalers = json.WithUnmarshalers(json.JoinUnmarshalers(
	json.UnmarshalFromFunc(readText[string]),
	json.UnmarshalFromFunc(readText[TaskType]),

	json.UnmarshalFromFunc(readNumber[int]),
	json.UnmarshalFromFunc(readNumber[int64]),
	json.UnmarshalFromFunc(readNumber[PushStage]),
	json.UnmarshalFromFunc(readNumber[PushPlatform]),
	json.UnmarshalFromFunc(readTime),
	json.UnmarshalFromFunc(readAny),
))

// exactUnmarshalers keep whole numbers of 64 bits, such as IDs, which a float64 would round.
var exactUnmarshalers = json.WithUnmarshalers(json.UnmarshalFromFunc(readAny))

// readAny reads an int64 or uint64 in place of a number that is no float64. It leaves other values to the package json.
func readAny(d *jsontext.Decoder, to *any) error {
	const exact = 1 << 53
	if d.PeekKind() != jsontext.KindNumber {
		return errors.ErrUnsupported
	}
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	text := token.String()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && (n > exact || n < -exact) {
		*to = n
	} else if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > exact {
		*to = n
	} else {
		*to, err = strconv.ParseFloat(text, 64)
		return err
	}
	return nil
}

// unmarshalLoose reads JSON that may be in another encoding than UTF-8, or have a member twice.
func unmarshalLoose(from jsontext.Value, to any) error {
	return json.Unmarshal(from, to, looseUnmarshalers, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
}

// readScalar returns the text of a string, a number or a literal. Null, objects and lists are "", the latter not valid.
func readScalar(d *jsontext.Decoder) (s string, valid bool, err error) {
	switch d.PeekKind() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return "", false, d.SkipValue()
	}
	token, err := d.ReadToken()
	if err != nil || token.Kind() == jsontext.KindNull {
		return "", true, err
	}
	return token.String(), true, nil
}

func readText[T ~string](d *jsontext.Decoder, to *T) error {
	s, _, err := readScalar(d)
	*to = T(s)
	return err
}

func readNumber[T ~int | ~int64](d *jsontext.Decoder, to *T) error {
	s, valid, err := readScalar(d)
	*to = -1 // a code of 0 would be a success
	if s == "" && valid {
		*to = 0
	} else if n, ok := parseWhole(s); ok {
		*to = T(n)
	}
	return err
}

// parseWhole also reads a whole number such as 1e3.
func parseWhole(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.Abs(f) > 1<<53 || f != math.Trunc(f) {
		return 0, false
	}
	return int64(f), true
}

// readTime reads Unix seconds, or a date and time in UTC.
func readTime(d *jsontext.Decoder, to *time.Time) error {
	const year10000 = 253402300800
	s, _, err := readScalar(d)
	if n, ok := parseWhole(s); ok {
		if n > 0 && n < year10000 {
			*to = time.Unix(n, 0).UTC()
		}
	} else if t, fails := time.Parse(time.DateTime, s); fails == nil {
		*to = t
	}
	return err
}

// readList reads a list, one object in the place of a list of one, or nothing.
func readList[T any](from jsontext.Value) ([]T, error) {
	switch from.Kind() {
	case jsontext.KindInvalid, jsontext.KindNull:
		return nil, nil
	case jsontext.KindBeginObject:
		from = append(append(jsontext.Value("["), from...), ']')
	}
	var list []T
	err := unmarshalLoose(from, &list)
	return list, err
}

// nameObjects gives the name "Results" to objects that stand without one in an object, as in the documentation's sample of an
// answer of normal_push_loss (tencentcloud.com/document/product/1047/71898), which is no JSON without that.
func nameObjects(body []byte) []byte {
	var out bytes.Buffer
	var within []byte // the brackets that are open
	var last byte     // before this one, without space
	inString, escaped := false, false
	for _, c := range body {
		switch {
		case inString:
			inString, escaped = escaped || c != '"', !escaped && c == '\\'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if c == '{' && len(within) > 0 && within[len(within)-1] == '{' && last != ':' {
				out.WriteString(`"Results":`)
			}
			within = append(within, c)
		case (c == '}' || c == ']') && len(within) > 0:
			within = within[:len(within)-1]
		}
		if c > ' ' {
			last = c
		}
		out.WriteByte(c)
	}
	return out.Bytes()
}
