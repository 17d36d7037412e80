package timpushtest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// reply is the answer to one request before its encoding. Code 0 is success.
type reply struct {
	code    int
	info    string
	list    []failure
	fields  map[string]any // beside the envelope, on success
	onFail  map[string]any // the same, on failure
	unnamed map[string]any // an object without a name; nil for none
	noList  bool           // the command has no ErrorList
}

// failure is one element of ErrorList.
type failure struct {
	account string
	code    int
	info    string
}

func (r *refusal) reply() reply { return reply{code: r.code, info: r.info} }

// encode writes the envelope of page tencentcloud.com/document/product/1047/60565.
func (set *settings) encode(rep reply) []byte {
	fields := map[string]any{
		"ActionStatus": set.actionStatus(rep.code),
		"ErrorCode":    set.number(rep.code),
	}
	if set.ErrorInfo != ErrorInfoNone {
		fields["ErrorInfo"] = rep.info
	}
	if rep.code == 0 {
		maps.Copy(fields, rep.fields)
	} else {
		maps.Copy(fields, rep.onFail)
	}
	if !rep.noList {
		set.addErrorList(fields, set.distort(rep))
	}
	data, err := json.Marshal(fields)
	must(err)
	if rep.unnamed != nil {
		object, err := json.Marshal(rep.unnamed)
		must(err)
		data = slices.Concat(data[:len(data)-1], []byte(","), object, []byte("}"))
	}
	return data
}

func (set *settings) addErrorList(fields map[string]any, list []failure) {
	switch {
	case len(list) > 0:
		fields["ErrorList"] = set.errorListOf(list)
	case set.ErrorList == ErrorListNull:
		fields["ErrorList"] = nil
	case set.ErrorList == ErrorListEmpty:
		fields["ErrorList"] = []any{}
	}
}

func (set *settings) actionStatus(code int) string {
	if code == 0 && !set.FailStatusOnSuccess || code != 0 && set.OKStatusOnFailure {
		return "OK"
	}
	return "FAIL"
}

func (set *settings) number(n int) any {
	if set.QuotedNumbers {
		return strconv.Itoa(n)
	}
	return n
}

func (set *settings) errorListOf(list []failure) []any {
	out := make([]any, 0, len(list))
	for _, f := range list {
		item := map[string]any{"To_Account": f.account, "ErrorCode": set.number(f.code)}
		if set.ErrorInfo == ErrorInfoEverywhere {
			item["ErrorInfo"] = f.info
		}
		out = append(out, item)
	}
	return out
}

// distort returns the ErrorList with the irregularities that the switches ask for.
func (set *settings) distort(rep reply) []failure {
	var out []failure
	for _, f := range rep.list {
		if set.ErrorListOtherCase {
			f.account = otherCase(f.account)
		}
		out = append(out, f)
		if set.ErrorListTwice {
			out = append(out, failure{account: f.account, code: codeInternal, info: "internal error"})
		}
	}
	if set.ErrorListUnrelated && rep.code == 0 {
		out = append(out, failure{account: "unrelated", code: codeUnknownAccount, info: "account is not known"})
	}
	return out
}

func otherCase(s string) string {
	if upper := strings.ToUpper(s); upper != s {
		return upper
	}
	return strings.ToLower(s)
}
