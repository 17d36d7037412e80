package probe

import "strings"

// valueQuestions are about the values of attributes.
func valueQuestions() []question {
	return append([]question{
		{
			key: "empty-value", text: "What does an empty value do?", client: "it passes it on; RemoveAttr is the way to delete",
			readings: []reading{{"stored", "it is stored", ""}, {"deletes", "it deletes the attribute", ""}, {"refused", "90033", ""}},
			ask:      on(1, (*session).askEmptyValue),
		}, {
			key: "length", text: "What do the 50 bytes of a value count?", client: "bytes of UTF-8",
			readings: []reading{
				{"bytes", "bytes of UTF-8", ""},
				{"escaped", "bytes as they stand in the JSON, with \\", "no, but give it WithEscapedLength: without it, values with quotation marks, backslashes or control characters may come back with 90033"},
				{"characters", "characters", "yes: it refuses longer values that the app would take"},
			},
			ask: on(1, (*session).askLength),
		}, {
			key: "long-value", text: "What does a value of more than 50 bytes do?", client: "it never sends that",
			readings: []reading{{"request", "90033 for the whole request", ""}, {"account", "90033 for the account", ""}, {"cut", "it is cut", ""}, {"kept", "it is kept", ""}},
			ask:      on(1, (*session).askLong),
		}, {
			key: "non-string", text: "What do a number, null and an object do in the place of a value?", client: "it never sends that",
			readings: []reading{{"90001", "90001", ""}, {"90033", "90033", ""}},
			ask:      on(1, (*session).askNonString),
		},
	}, characterQuestions()...)
}

// characterQuestions are about single characters in values.
func characterQuestions() (all []question) {
	for _, c := range []struct{ key, text, value string }{
		{"controls", "Is a control character (U+0001) kept in a value?", "a\x01b"},
		{"nul", "Is a NUL kept in a value?", "a\x00b"},
		{"emoji", "Is an emoji kept in a value?", "a\U0001F600b"},
	} {
		all = append(all, question{
			key: c.key, text: c.text, client: "it passes it on",
			readings: []reading{
				{"kept", "it is kept", ""}, {"refused", "90033", ""},
				{"changed", "it is accepted, and changed", "yes: the client must refuse it, as Done would not be true"},
			},
			ask: on(1, func(s *session, a *account, name string) found {
				return s.kept(a, name, c.value, "changed")
			}),
		})
	}
	return all
}

// kept sets a value, and says if it is kept, refused, or what becomes of it otherwise.
func (s *session) kept(a *account, name, value, otherwise string) found {
	s.set(a, map[string]string{name: s.value()})
	v := s.set(a, map[string]string{name: value}).about(a.id)
	if v.code != 0 {
		return v.by(map[int]string{90033: "refused"})
	}
	if s.read(a)[name] == value {
		return is("kept")
	}
	return is(otherwise)
}

func (s *session) askEmptyValue(a *account, name string) found {
	s.set(a, map[string]string{name: s.value()})
	v := s.set(a, map[string]string{name: ""}).about(a.id)
	if v.code != 0 {
		return v.by(map[int]string{90033: "refused"})
	}
	value, there := s.read(a)[name]
	switch {
	case !there:
		return is("deletes")
	case value == "":
		return is("stored")
	}
	return something("accepted, and the value stays as it was")
}

func (s *session) askLength(a *account, name string) found {
	short := s.kept(a, name, strings.Repeat(`"`, 26), "cut")     // 26 bytes, 52 in JSON
	long := s.kept(a, name, strings.Repeat("\u20ac", 17), "cut") // 17 characters, 51 bytes
	switch {
	case !short.known || !long.known || short.reading == "" || long.reading == "":
		return something("quotation marks: " + short.reading + short.text + ", other characters: " + long.reading + long.text)
	case short.reading != "kept":
		return is("escaped")
	case long.reading == "kept":
		return is("characters")
	}
	return is("bytes")
}

func (s *session) askLong(a *account, name string) found {
	value := strings.Repeat("a", 51)
	v := s.set(a, map[string]string{name: value}).about(a.id)
	switch {
	case v.code == 90033 && v.listed:
		return is("account")
	case v.code == 90033:
		return is("request")
	case v.code != 0:
		return something(v.String())
	case s.read(a)[name] == value:
		return is("kept")
	}
	return is("cut")
}

func (s *session) askNonString(a *account, name string) found {
	var all []string
	var first verdict
	same := true
	for i, value := range []any{5, nil, map[string]string{}} {
		v := s.set(a, map[string]any{name: value}).about(a.id)
		if i == 0 {
			first = v
		}
		same = same && v.code == first.code
		all = append(all, v.String())
	}
	if same {
		return first.by(map[int]string{90001: "90001", 90033: "90033"})
	}
	return something("number, null, object: " + strings.Join(all, ", "))
}
