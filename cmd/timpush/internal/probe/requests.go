package probe

import (
	"net/http"
	"net/url"
)

// requestQuestions are about requests that are not as the documentation has them. All but one are about commands that only read.
func requestQuestions() []question {
	never := "it never sends that"
	refused := []reading{{"90001", "90001", ""}, {"accepted", "it is accepted", ""}}
	return append([]question{
		{key: "empty-list", text: "What does set_attr without entries do?", client: never, readings: refused, ask: func(s *session) found {
			return s.setAll([]userAttrs{}...).whole().by(map[int]string{0: "accepted", 90001: "90001"})
		}},
		{key: "empty-attrs", text: "What does an entry without attributes do?", client: never, readings: refused, ask: on(1, func(s *session, a *account, _ string) found {
			return s.set(a, map[string]string{}).about(a.id).by(map[int]string{0: "accepted", 90001: "90001"})
		})},
		{
			key: "not-json", text: "Which code does a body have that is not JSON?", client: "either",
			readings: []reading{{"60003", "60003", ""}, {"90001", "90001", ""}},
			ask:      asking("get_attr_name", "{", map[int]string{60003: "60003", 90001: "90001"}),
		}, {
			key: "wrong-shape", text: "Which code does JSON of another form have?", client: "either",
			readings: []reading{{"90001", "90001", ""}, {"60003", "60003", ""}},
			ask:      asking("set_attr", `{"UserAttrs":5}`, map[int]string{60003: "60003", 90001: "90001"}),
		}, {
			key: "empty-body", text: "What does an empty body do?", client: never,
			readings: []reading{{"60003", "60003", ""}, {"90001", "90001", ""}, {"accepted", "it is accepted", ""}},
			ask:      asking("get_attr_name", "", map[int]string{0: "accepted", 60003: "60003", 90001: "90001"}),
		},
	}, callQuestions()...)
}

// callQuestions are about other parts of a request than its body.
func callQuestions() []question {
	return append([]question{
		{
			key: "get-method", text: "What does GET in place of POST do?", client: "it never sends that",
			readings: []reading{{"60009", "60009", ""}, {"405", "HTTP status 405", ""}, {"accepted", "it is accepted", ""}},
			ask: func(s *session) found {
				a := s.call(request{method: http.MethodGet, command: "get_attr_name"})
				if a.status == http.StatusMethodNotAllowed {
					return is("405")
				}
				return a.whole().by(map[int]string{0: "accepted", 60009: "60009"})
			},
		}, {
			key: "not-administrator", text: "Which code does an identifier have that is no administrator?", client: "either",
			readings: []reading{{"90009", "90009", ""}, {"60010", "60010", ""}},
			ask: func(s *session) found {
				a := s.call(request{command: "get_attr_name", body: []byte("{}"), identifier: s.Accounts[0]})
				if a.code == 0 {
					return skip("the account is an administrator")
				}
				return a.whole().by(map[int]string{90009: "90009", 60010: "60010"})
			},
		}, {
			key: "gzip-requests", text: "Can the body of a request be compressed?", client: "it does not compress",
			readings: []reading{{"no", "no", ""}, {"yes", "yes", ""}},
			ask: func(s *session) found {
				a := s.call(request{command: "get_attr_name", body: []byte("{}"), gzip: true})
				if a.code == 0 {
					return is("yes")
				}
				return isSo("no", a.whole().String())
			},
		},
	}, randomQuestions()...)
}

// asking asks by the code of one body.
func asking(command, body string, readings map[int]string) func(*session) found {
	return func(s *session) found { return s.postText(command, body).whole().by(readings) }
}

// randomQuestions are about the parameter random.
func randomQuestions() []question {
	q := func(key, text string, ask func(s *session) answer) question {
		return question{
			key: key, text: text, client: "it sends another number each time",
			readings: []reading{{"refused", "60025", ""}, {"accepted", "it is accepted", ""}},
			ask: func(s *session) found {
				return ask(s).whole().by(map[int]string{0: "accepted", 60025: "refused"})
			},
		}
	}
	with := func(edit func(url.Values)) func(*session) answer {
		return func(s *session) answer {
			return s.call(request{command: "get_attr_name", body: []byte("{}"), query: edit})
		}
	}
	return []question{
		q("random-missing", "What does a request without the parameter random do?", with(func(v url.Values) { v.Del("random") })),
		q("random-range", "What does random above 4294967295 do?", with(func(v url.Values) { v.Set("random", "4294967296") })),
		q("random-repeated", "What does a value of random do that was used before?", func(s *session) answer {
			var used string
			with(func(v url.Values) { used = v.Get("random") })(s)
			return with(func(v url.Values) { v.Set("random", used) })(s)
		}),
	}
}
