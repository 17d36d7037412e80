package probe

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

// observed is what the answers have shown, by question and reading.
type observed map[[2]string]bool

// add looks at an answer for what no request asks by itself.
func (o observed) add(a answer, body []byte) {
	if a.code < 0 {
		return
	}
	see := func(key, reading string, yes bool) {
		if yes {
			o[[2]string{key, reading}] = true
		}
	}
	quoted := bytes.HasPrefix(a.fields["ErrorCode"], []byte(`"`))
	see("numbers", "quoted", quoted)
	see("numbers", "plain", !quoted)
	ok := textOf(a.fields["ActionStatus"]) == "OK"
	see("status", "agree", ok == (a.code == 0))
	see("status", "ok-on-failure", ok && a.code != 0)
	see("status", "fail-on-success", !ok && a.code == 0)
	_, info := a.fields["ErrorInfo"]
	see("error-info", "top", info)
	see("error-info", "none", !info)
	see("error-info", "everywhere", bytes.Contains(a.fields["ErrorList"], []byte(`"ErrorInfo"`)))
	zipped := a.header.Get("Content-Encoding") == "gzip"
	see("gzip-answers", "yes", zipped)
	see("gzip-answers", "no", !zipped && a.status == http.StatusOK)
	if _, read := a.fields["UserAttrs"]; a.code == 0 && (read || bytes.Contains(body, []byte(`"UserAttrs"`))) {
		form := string(a.fields["ErrorList"])
		see("error-list", "absent", form == "")
		see("error-list", "null", form == "null")
		see("error-list", "empty", form == "[]")
	}
	addList(a.list, body, see)
	if _, names := a.fields["AttrNames"]; names {
		_, types := a.fields["AttrTypes"]
		see("attr-types", "there", types)
		see("attr-types", "absent", !types)
	}
}

// addList looks at an ErrorList.
func addList(list []item, body []byte, see func(key, reading string, yes bool)) {
	seen := map[string]int{}
	for _, it := range list {
		seen[it.account]++
		quoted, _ := json.Marshal(it.account) // a string does not fail
		times := bytes.Count(body, quoted)
		folded := strings.Contains(strings.ToLower(string(body)), strings.ToLower(string(quoted)))
		see("listed-accounts", "as-sent", times > 0)
		see("listed-accounts", "other-case", times == 0 && folded)
		see("listed-accounts", "unrelated", !folded)
		see("listed-twice", "once", true)
		see("listed-twice", "twice", seen[it.account] > max(times, 1))
	}
}

// observations are questions that the answers to others settle. If there is more than one reading, the last that was seen counts.
func (s *session) observations() (findings []Finding) {
	for _, q := range []question{
		{
			key: "numbers", text: "Are numbers in answers JSON numbers?", client: "numbers, also in quotation marks",
			readings: []reading{{"plain", "yes", ""}, {"quoted", "they are in quotation marks", ""}},
		}, {
			key: "status", text: "Do ActionStatus and ErrorCode agree?", client: "ErrorCode 0 with FAIL is no success",
			readings: []reading{
				{"agree", "yes", ""}, {"ok-on-failure", "OK with an ErrorCode other than 0", ""},
				{"fail-on-success", "FAIL with ErrorCode 0", "yes: the client reports these as malformed answers"},
			},
		}, {
			key: "error-info", text: "Where is ErrorInfo?", client: "anywhere",
			readings: []reading{{"top", "beside ErrorCode", ""}, {"none", "nowhere, or not always", ""}, {"everywhere", "also in ErrorList", ""}},
		}, {
			key: "error-list", text: "What is ErrorList if no account failed?", client: "any of these",
			readings: []reading{{"absent", "absent", ""}, {"null", "null", ""}, {"empty", "[]", ""}},
		}, {
			key: "listed-accounts", text: "How are accounts spelled in ErrorList?", client: "in any case; one that was not sent may mean any of those that were",
			readings: []reading{
				{"as-sent", "as they were sent", ""}, {"other-case", "in another case", ""},
				{"unrelated", "there are also accounts that were not sent", "yes: with such answers no user is Done"},
			},
		}, {
			key: "listed-twice", text: "Is an account in ErrorList once?", client: "the first code counts",
			readings: []reading{{"once", "yes", ""}, {"twice", "it is there several times", ""}},
		}, {
			key: "gzip-answers", text: "Are answers compressed for those who accept it?", client: "either",
			readings: []reading{{"no", "no", ""}, {"yes", "yes, with gzip", ""}},
		}, {
			key: "attr-types", text: "Does get_attr_name give the types of accounts?", client: "either; without them Preflight cannot predict 90035",
			readings: []reading{{"there", "yes", ""}, {"absent", "no", ""}},
		}, {
			key: "task-sender", text: "What is From_Account in the content of a scheduled push?", client: "either",
			readings: []reading{{"text", "a string", ""}, {"number", "a number", ""}},
		},
	} {
		if q.key != "task-sender" || s.Pushes {
			findings = append(findings, q.finding(s.seen.of(q)))
		}
	}
	return findings
}

// of returns the last reading of a question that was seen.
func (o observed) of(q question) found {
	f := skip("no answer showed it")
	for _, r := range q.readings {
		if o[[2]string{q.key, r.key}] {
			f = is(r.key)
		}
	}
	return f
}
