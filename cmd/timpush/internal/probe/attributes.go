package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// attrName is an attribute of the app.
type attrName struct {
	name string
	kind int // 0 UserID, 1 RegistrationID, unknownKind
}

const unknownKind = -1

// maxDelay is how long a value is waited for. The wait for it uses one call a second.
const maxDelay = 10 * time.Second

func (s *session) readNames() error {
	a := s.postText("get_attr_name", "{}")
	if a.code != 0 {
		s.fail(fmt.Errorf("the app cannot be asked (%s): see timpush check", a.whole()))
		return s.err
	}
	var names, types map[string]json.RawMessage
	_ = json.Unmarshal(a.fields["AttrNames"], &names) // absent is as good as empty
	_, s.types = a.fields["AttrTypes"]
	_ = json.Unmarshal(a.fields["AttrTypes"], &types)
	for i := range 10 {
		index := strconv.Itoa(i)
		if name := textOf(names[index]); name != "" {
			s.names = append(s.names, attrName{name, number(types[index])})
		}
	}
	if len(s.names) == 0 {
		s.fail(errors.New("the app has no attributes: see timpush names set --help"))
	}
	return s.err
}

// classify finds out which attributes an account can have, by setting them.
func (s *session) classify(a *account) {
	kind := unknownKind
	for _, n := range s.names {
		if n.kind == unknownKind || kind == unknownKind {
			if len(a.own) >= 2 && a.other != "" {
				continue
			}
			switch s.set(a, map[string]string{n.name: s.value()}).about(a.id).code {
			case 0:
				a.own = append(a.own, n.name)
				kind = n.kind
			case 90035:
				a.other = n.name
				if n.kind != unknownKind {
					kind = 1 - n.kind
				}
			}
			continue
		}
		if n.kind == kind {
			a.own = append(a.own, n.name)
		} else {
			a.other = n.name
		}
	}
}

// value returns one that was not used before, so that it cannot be taken for another.
func (s *session) value() string {
	s.fresh++
	return fmt.Sprintf("probe %d %08x", s.fresh, rand.Uint32())
}

type userAttrs struct {
	ToAccount string `json:"To_Account"`
	Attrs     any
}

// set sends attributes, or what stands in their place.
func (s *session) set(a *account, attrs any) answer { return s.setAll(userAttrs{a.id, attrs}) }

func (s *session) setAll(users ...userAttrs) answer {
	return s.post("set_attr", map[string]any{"UserAttrs": users})
}

func (s *session) remove(id string, names ...string) answer {
	return s.post("remove_attr", map[string]any{"UserAttrs": []userAttrs{{id, names}}})
}

// read returns the attributes of an account once they can be read.
func (s *session) read(a *account) map[string]string {
	s.sleep(s.delay)
	return s.post("get_attr", map[string]any{"To_Account": []string{a.id}}).attrs(a.id)
}

// on asks with an account that can have n attributes, and the first of these.
func on(n int, ask func(s *session, a *account, name string) found) func(*session) found {
	return func(s *session) found {
		for _, a := range s.accounts {
			if len(a.own) >= n {
				return ask(s, a, a.own[0])
			}
		}
		return skip(fmt.Sprintf("it takes an account that can have %d of the app's attributes", n))
	}
}

// onBoth asks with an account and an attribute of the other type.
func onBoth(ask func(s *session, a *account, name string) found) func(*session) found {
	return func(s *session) found {
		for _, a := range s.accounts {
			if len(a.own) > 0 && a.other != "" {
				return ask(s, a, a.own[0])
			}
		}
		return skip("it takes an app with attributes of both types")
	}
}

// unknownName is an attribute that no app has.
func (s *session) unknownName() string { return fmt.Sprintf("probe-%08x", rand.Uint32()) }

// attributeQuestions must begin with read-delay: what is read afterwards depends on it.
func attributeQuestions() []question {
	return append([]question{
		{
			key: "read-delay", text: "How long after set_attr does get_attr show a value?", client: "Verify reads again for nearly four seconds",
			readings: []reading{{"none", "at once", ""}, {"some", "after a delay", "no, unless it is more than three seconds: then Verify must wait longer"}},
			ask:      on(1, (*session).askDelay),
		}, {
			key: "invalid-attribute", text: "Is 90033 about the account, or about the whole request?", client: "either",
			readings: []reading{{"request", "the whole request fails", ""}, {"account", "the account is in ErrorList", ""}},
			ask:      on(1, (*session).askInvalid),
		}, {
			key: "partly-applied", text: "Is a part of a request applied that fails as a whole?", client: "either: to send it again does no harm",
			readings: []reading{{"nothing", "nothing", ""}, {"part", "a part", ""}},
			ask:      on(1, (*session).askPartly),
		}, {
			key: "all-failed", text: "What is the answer if all accounts fail?", client: "either",
			readings: []reading{{"ok", "ErrorCode 0 with an ErrorList", ""}, {"fail-list", "a failure with an ErrorList", ""}, {"fail", "a failure without an ErrorList", ""}},
			ask:      (*session).askAllFailed,
		}, {
			key: "merge", text: "Does set_attr keep the attributes that it does not name?", client: "it does",
			readings: []reading{{"keeps", "it keeps them", ""}, {"replaces", "it deletes them", "yes: SetAttr must say that it deletes what is not named. Until then, give all attributes of a user in each call"}},
			ask:      on(2, (*session).askMerge),
		}, {
			key: "duplicates", text: "What does an account do that is twice in a request?", client: "it never sends that",
			readings: []reading{{"later", "the later entry wins", ""}, {"earlier", "the earlier entry wins", ""}, {"refused", "the request is refused with 90001", ""}, {"listed", "the account is in ErrorList", ""}},
			ask:      on(1, (*session).askDuplicates),
		}, {
			key: "mixed-types", text: "What does an entry do that has attributes of both types?", client: "90035 for the account",
			readings: []reading{{"whole", "90035, and nothing of it is applied", ""}, {"part", "90035, and the fitting part is applied", ""}},
			ask:      onBoth((*session).askMixed),
		}, {
			key: "remove-absent", text: "What does the removal of an attribute do that the account does not have?", client: "either",
			readings: []reading{{"accepted", "it is accepted", ""}, {"refused", "it is refused with 90033", ""}},
			ask:      on(1, (*session).askRemoveAbsent),
		},
	}, append(nameQuestions(), append(valueQuestions(), unknownQuestions()...)...)...)
}

func (s *session) askDelay(a *account, name string) found {
	want := s.value()
	if v := s.set(a, map[string]string{name: want}).about(a.id); v.code != 0 {
		return something(v.String())
	}
	began := time.Now()
	body, err := json.Marshal(map[string]any{"To_Account": []string{a.id}})
	if err != nil {
		s.fail(err)
	}
	for {
		got := s.call(request{command: "get_attr", body: body, once: true}).attrs(a.id)[name]
		waited := time.Since(began)
		switch {
		case s.err != nil:
			return skip("stopped")
		case got == want && waited < time.Second:
			return is("none")
		case got == want:
			s.delay = waited + time.Second
			return isSo("some", "up to "+waited.Round(100*time.Millisecond).String())
		case waited > maxDelay:
			s.delay = maxDelay
			return isSo("some", "more than "+maxDelay.String())
		}
		s.sleep(time.Second)
	}
}

func (s *session) askInvalid(a *account, _ string) found {
	answer := s.set(a, map[string]string{s.unknownName(): s.value()})
	if answer.whole().code == 0 && !answer.about(a.id).listed {
		answer = s.set(a, map[string]string{a.own[0]: strings.Repeat("a", 51)}) // if unknown names are ignored
	}
	v := answer.about(a.id)
	switch {
	case v.code == 90033 && v.listed:
		return is("account")
	case v.code == 90033:
		return is("request")
	}
	return something(v.String())
}

func (s *session) askPartly(a *account, name string) found {
	bad := s.accounts[len(s.accounts)-1].id // another account, if there are two
	for _, wrong := range []any{map[string]string{s.unknownName(): "x"}, map[string]int{name: 5}, 5} {
		want := s.value()
		answer := s.setAll(userAttrs{a.id, map[string]string{name: want}}, userAttrs{bad, wrong})
		if len(answer.list) > 0 || answer.code <= 0 {
			continue
		}
		if s.read(a)[name] == want {
			return is("part")
		}
		return is("nothing")
	}
	return skip("no request failed as a whole")
}

func (s *session) askAllFailed() found {
	ask := onBoth(func(s *session, a *account, _ string) found {
		return failureForm(s.set(a, map[string]string{a.other: s.value()}))
	})
	if f := ask(s); f.known || s.Unknown == "" {
		return f
	}
	return failureForm(s.remove(s.Unknown, s.names[0].name))
}

func failureForm(a answer) found {
	switch {
	case len(a.list) > 0 && a.code == 0:
		return is("ok")
	case len(a.list) > 0:
		return is("fail-list")
	case a.code > 0:
		return isSo("fail", a.whole().String())
	}
	return something(a.whole().String())
}

func (s *session) askMerge(a *account, name string) found {
	kept := s.value()
	s.set(a, map[string]string{name: s.value(), a.own[1]: kept})
	if v := s.set(a, map[string]string{name: s.value()}).about(a.id); v.code != 0 {
		return something(v.String())
	}
	if s.read(a)[a.own[1]] == kept {
		return is("keeps")
	}
	return is("replaces")
}

func (s *session) askDuplicates(a *account, name string) found {
	earlier, later := s.value(), s.value()
	v := s.setAll(userAttrs{a.id, map[string]string{name: earlier}}, userAttrs{a.id, map[string]string{name: later}}).about(a.id)
	switch {
	case v.listed:
		return isSo("listed", v.String())
	case v.code == 90001:
		return is("refused")
	case v.code != 0:
		return something(v.String())
	}
	switch s.read(a)[name] {
	case later:
		return is("later")
	case earlier:
		return is("earlier")
	}
	return something("accepted, and neither entry is applied")
}

func (s *session) askMixed(a *account, name string) found {
	want := s.value()
	v := s.set(a, map[string]string{name: want, a.other: s.value()}).about(a.id)
	if v.code != 90035 {
		return something(v.String())
	}
	if s.read(a)[name] == want {
		return is("part")
	}
	return is("whole")
}

func (s *session) askRemoveAbsent(a *account, name string) found {
	s.set(a, map[string]string{name: s.value()})
	if v := s.remove(a.id, name).about(a.id); v.code != 0 {
		return something(v.String())
	}
	s.sleep(s.delay)
	return s.remove(a.id, name).about(a.id).by(map[int]string{0: "accepted", 90033: "refused"})
}

// nameQuestions are about names of attributes and accounts.
func nameQuestions() []question {
	return []question{
		{
			key: "unknown-name", text: "What does an attribute do that the app does not have?", client: "90033; Preflight finds it before",
			readings: []reading{{"refused", "90033", ""}, {"ignored", "it is ignored", "no, but only WithPreflight can tell you of misspelled names"}},
			ask: on(1, func(s *session, a *account, _ string) found {
				return s.set(a, map[string]string{s.unknownName(): s.value()}).about(a.id).by(map[int]string{0: "ignored", 90033: "refused"})
			}),
		}, {
			key: "case-of-names", text: "Are names of attributes the same in another case?", client: "they are not",
			readings: []reading{{"exact", "they are not", ""}, {"folded", "they are", "yes: SetAttr must refuse an entry with two such names"}},
			ask:      on(1, (*session).askCaseOfNames),
		}, {
			key: "case-of-accounts", text: "Are accounts the same in another case?", client: "they are not",
			readings: []reading{{"exact", "they are not", ""}, {"folded", "they are", "yes: accounts must be merged without regard to case"}},
			ask:      on(1, (*session).askCaseOfAccounts),
		},
	}
}

func otherCase(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, text)
}

func (s *session) askCaseOfNames(a *account, name string) found {
	other := otherCase(name)
	for _, n := range s.names {
		if n.name == other { // also where there are no letters
			return skip("it takes an attribute whose name has letters")
		}
	}
	want := s.value()
	v := s.set(a, map[string]string{other: want}).about(a.id)
	switch {
	case v.code == 90033:
		return is("exact")
	case v.code != 0:
		return something(v.String())
	case s.read(a)[name] == want:
		return is("folded")
	}
	return isSo("exact", "accepted and not applied")
}

func (s *session) askCaseOfAccounts(a *account, name string) found {
	other := otherCase(a.id)
	if other == a.id {
		return skip("it takes an account with letters")
	}
	want := s.value()
	s.set(a, map[string]string{name: want})
	s.sleep(s.delay)
	answer := s.post("get_attr", map[string]any{"To_Account": []string{other}})
	if answer.attrs(other)[name] == want || answer.attrs(a.id)[name] == want {
		return is("folded")
	}
	return is("exact")
}

// unknownQuestions are about an account that the app does not know.
func unknownQuestions() []question {
	return []question{
		{
			key: "unknown-account-read", text: "How does get_attr answer for an account that the app does not know?", client: "any of these",
			readings: []reading{{"listed", "70107 in ErrorList", ""}, {"omitted", "it is left out", ""}, {"empty", "without attributes", ""}, {"refused", "the request fails with 70107", ""}},
			ask:      (*session).askUnknownRead,
		}, {
			key: "unknown-account", text: "What does set_attr do with an account that the app does not know?", client: "70107 for the account, or it is accepted",
			readings: []reading{{"refused", "70107", ""}, {"stored", "it stores the attributes", ""}, {"dropped", "it is accepted and nothing is stored", "no, but Done says nothing about accounts that the app does not know"}},
			ask:      (*session).askUnknown,
		},
	}
}

func (s *session) askUnknownRead() found {
	if s.Unknown == "" {
		return skip("it takes --unknown-account")
	}
	a := s.post("get_attr", map[string]any{"To_Account": []string{s.Unknown}})
	v, attrs := a.about(s.Unknown), a.attrs(s.Unknown)
	switch {
	case v.code == 70107 && v.listed:
		return is("listed")
	case v.code == 70107:
		return is("refused")
	case v.code != 0:
		return something(v.String())
	case attrs == nil:
		return is("omitted")
	case len(attrs) == 0:
		return is("empty")
	}
	s.Unknown = "" // it is known, and its attributes are not to be changed
	return skip("the account of --unknown-account has attributes")
}

func (s *session) askUnknown() found {
	if s.Unknown == "" {
		return skip("it takes --unknown-account, with an account that has no attributes")
	}
	a := &account{id: s.Unknown, before: map[string]string{}}
	for _, n := range s.names {
		want := s.value()
		v := s.set(a, map[string]string{n.name: want}).about(a.id)
		switch {
		case v.code == 90035: // the name is for accounts of the other type
			continue
		case v.code != 0:
			return v.by(map[int]string{70107: "refused"})
		}
		s.accounts = append(s.accounts, a)
		if s.read(a)[n.name] == want {
			return is("stored")
		}
		return is("dropped")
	}
	return skip("none of the app's attributes suits the account")
}
