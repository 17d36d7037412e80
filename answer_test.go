package timpush

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzDecodeAnswer holds the decoder against encoding/json: nothing may be taken for a success that is not plainly one.
func FuzzDecodeAnswer(f *testing.F) {
	for _, s := range []string{
		`{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`,
		`{"ActionStatus":"OK","ErrorCode":"0","ErrorList":[{"To_Account":"a","ErrorCode":90035,"ErrorInfo":null},null]}`,
		`{"ActionStatus":"FAIL","ErrorInfo":{"a":1},"ErrorCode":90001,"More":[[]]}`,
		`{"ActionStatus":"ok","ErrorCode":-0}`, `{"ErrorCode":1e0}`, `{}`, `[]`, `null`, `<html>`, `{"ErrorCode":0`, "{\"ActionStatus\":\"OK\",\"ErrorInfo\":\"\xff\",\"ErrorCode\":0}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, ok := decodeAnswer(body)
		if !ok {
			assert.Zero(t, a)
			return
		}
		require.LessOrEqual(t, len(a.list), maxListed)
		var wire map[string]any
		require.NoError(t, json.Unmarshal(body, &wire), "what is accepted is JSON")
		if !a.ok() {
			require.NotZero(t, a.code)
			return
		}
		status, _ := wire["ActionStatus"].(string)
		assert.True(t, strings.EqualFold("OK", status), status)
		assert.Contains(t, []any{0.0, "0", "-0", "+0"}, zeros(wire["ErrorCode"]))
		list, _ := wire["ErrorList"].([]any)
		assert.Len(t, a.list, len(list), "no entry is lost")
	})
}

// zeros makes one of all ways to write a quoted 0.
func zeros(v any) any {
	if s, ok := v.(string); ok {
		return strings.TrimRight(s, "0") + "0"
	}
	return v
}
