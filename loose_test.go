package timpush

import (
	stdjson "encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnmarshalLoose(t *testing.T) {
	t.Parallel()
	type all struct {
		Text   string
		Number int
		Big    int64
		Time   time.Time
	}
	at := time.Date(2025, 5, 20, 8, 30, 0, 0, time.UTC)
	for from, want := range map[string]all{
		`{"Text":"a","Number":1,"Big":-9007199254740993,"Time":"2025-05-20 08:30:00"}`: {"a", 1, -9007199254740993, at},
		`{"Text":1,"Number":"1","Big":"1e3","Time":1747729800}`:                        {"1", 1, 1000, at},
		`{"Text":null,"Number":null,"Big":"","Time":null}`:                             {},
		`{"Text":{},"Number":{},"Big":[],"Time":{}}`:                                   {"", -1, -1, time.Time{}},
		`{"Text":true,"Number":1.5,"Big":1e99,"Time":"soon"}`:                          {"true", -1, -1, time.Time{}},
		`{"Number":"NaN","Big":"Inf","Time":0}`:                                        {"", -1, -1, time.Time{}},
		`{"Number":"NaN","Big":"Inf","Time":-1}`:                                       {"", -1, -1, time.Time{}},
		`{"Time":"1747729800","Text":"a","Text":"b"}`:                                  {Text: "b", Time: at},
		"{\"Text\":\"\xff\",\"Time\":253402300800}":                                    {Text: "\ufffd"},
	} {
		var got all
		require.NoError(t, unmarshalLoose([]byte(from), &got), from)
		assert.Equal(t, want, got, from)
	}
}

func TestNameObjects(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		`{"a":1,{"b":2}}`:             `{"a":1,"Results":{"b":2}}`,
		`{{"b":2}}`:                   `{"Results":{"b":2}}`,
		`{"a" : {"b":[{"c":{}},{}]}}`: `{"a" : {"b":[{"c":{}},{}]}}`,
		`{"a":"\\","b":"\"{","c":1}`:  `{"a":"\\","b":"\"{","c":1}`,
		`}]{`:                         `}]{`,
		``:                            ``,
	} {
		assert.Equal(t, want, string(nameObjects([]byte(from))))
	}
}

// FuzzNameObjects: what is JSON is not touched.
func FuzzNameObjects(f *testing.F) {
	f.Add(`{"a":"\\\"{","b":[{"c":{}}]}`)
	f.Add(lossSample)
	f.Fuzz(func(t *testing.T, text string) {
		got := string(nameObjects([]byte(text)))
		if stdjson.Valid([]byte(text)) {
			require.Equal(t, text, got)
		}
	})
}
