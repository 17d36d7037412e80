package dashboard

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// How much is shown of a request.
const (
	maxText = 200
	maxBody = 2000
)

// masked stands where a secret was.
const masked = "[not shown]"

// outcomeDone is the outcome of requests and users without an error.
const outcomeDone = "done"

// request is what a page shows of a request. None of its texts has a secret.
type request struct {
	ID      int64  `json:"id"`
	Time    string `json:"time"`
	Command string `json:"command"`
	Users   int    `json:"users"`
	Failed  int    `json:"failed"` // users that were refused by themselves
	Outcome string `json:"outcome"`
	Good    bool   `json:"good"`
	Head    string `json:"head"` // the method, the path and the query
	Body    string `json:"body"`
}

// userSig matches everything that can be a UserSig: deflated, in base64 or in the alphabet of UserSigs.
var userSig = regexp.MustCompile(`e[AFJN][\w*+/=-]{60,}`)

// mask takes secrets out of requests.
type mask struct{ key string }

func newMask(fake *timpushtest.Server) *mask {
	_, _, key := fake.App()
	return &mask{key}
}

// text takes secrets out of a text, wherever a client has put them, and bounds it.
func (m *mask) text(text string, n int) string {
	text = userSig.ReplaceAllString(strings.ReplaceAll(text, m.key, masked), masked)
	if len(text) > n {
		text = text[:n] + "…"
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// request returns what can be shown of a call.
func (m *mask) request(c timpushtest.Call) request {
	whole := outcomeText(c)
	return request{
		Time: c.Time.Format(time.TimeOnly), Command: commandOf(c), Users: len(c.Accounts), Failed: len(c.Failed),
		Outcome: whole, Good: whole == outcomeDone && len(c.Failed) == 0,
		Head: m.text(c.Method+" "+c.Path, maxText) + m.text(m.query(c.Query), maxBody),
		Body: m.text(string(c.Body), maxBody),
	}
}

// title returns the title of a push, for this page.
func (m *mask) title(body []byte) string {
	var request struct{ OfflinePushInfo struct{ Title string } }
	_ = json.Unmarshal(body, &request) // without one there is no title
	return m.text(request.OfflinePushInfo.Title, maxText)
}

// query shows the parameters that are known to be harmless with their values, and of others the names.
func (m *mask) query(query url.Values) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			if !slices.Contains([]string{"sdkappid", "identifier", "random", "contenttype"}, name) {
				value = masked
			}
			text.WriteString("\n" + m.text(name, maxText) + "=" + m.text(value, maxText))
		}
	}
	return text.String()
}

// commandOf names the command of a call, so that there are not more names than commands.
func commandOf(c timpushtest.Call) string {
	if c.Method != http.MethodPost || c.Code == int(timpush.ErrNoSuchResource) {
		return "other"
	}
	family, name := path.Split(c.Path)
	if (family == "/v4/timpush/" || family == "/v4/all_member_push/") && known[strings.TrimPrefix(name, "im_")] {
		return name
	}
	return "other"
}

var known = map[string]bool{
	"set_attr": true, "get_attr": true, "remove_attr": true, "set_attr_name": true, "get_attr_name": true,
	"add_tag": true, "get_tag": true, "remove_tag": true, "clear_all_tags": true, "push": true, "batch": true, "revoke": true,
	"add_sched_task": true, "modify_sched_task": true, "delete_sched_task": true, "get_sched_task": true, "list_sched_task": true,
	"all_member_push_trace": true, "all_member_push_statistics": true, "all_member_push_loss": true,
	"normal_push_trace": true, "normal_push_statistics": true, "normal_push_loss": true,
}

// outcomeText is the outcome of a request as a whole.
func outcomeText(c timpushtest.Call) string {
	switch {
	case c.Status == 0:
		return "no answer: the connection was given up"
	case c.Status != http.StatusOK:
		return fmt.Sprintf("HTTP %d", c.Status)
	case c.Code != 0:
		return codeText(c.Code)
	}
	return outcomeDone
}

func codeText(code int) string { return timpush.Code(code).Error() }
