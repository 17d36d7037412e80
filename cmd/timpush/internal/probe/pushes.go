package probe

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// pushQuestions notify no one: pushes are to accounts that do not exist, and none of them is to go out at all.
func pushQuestions() []question {
	return []question{
		{
			key: "batch-size", text: "Which code does a batch to more than 500 accounts have?", client: "either",
			readings: []reading{{"90011", "90011", ""}, {"90018", "90018", ""}, {"rate", "that of too many accounts a second", ""}},
			ask: func(s *session) found {
				return s.post("batch", s.pushTo(501)).whole().by(map[int]string{90011: "90011", 90018: "90018", 60007: "rate", 90024: "rate"})
			},
		}, {
			key: "task-past", text: "What does a scheduled push in the past do?", client: "it never sends that",
			readings: []reading{{"refused", "90104", ""}, {"accepted", "it is accepted", ""}},
			ask: func(s *session) found {
				return s.addTask(time.Now().Add(-time.Hour), s.pushTo(1)).whole().by(map[int]string{0: "accepted", 90104: "refused"})
			},
		}, {
			key: "task-content", text: "Which code does a fault in the content of a scheduled push have?", client: "either",
			readings: []reading{{"task", "90104", ""}, {"push", "that of a push", ""}},
			ask:      (*session).askTaskContent,
		}, {
			key: "task-status", text: "Which word is the Status of a scheduled push that waits?", client: "any",
			ask: (*session).askTaskStatus,
		}, {
			key: "task-unknown", text: "Which code does a scheduled push have that does not exist?", client: "any",
			ask: func(s *session) found { return something(s.getTask("1").whole().String()) },
		}, {
			key: "task-span", text: "What is the longest span of list_sched_task?", client: "any",
			ask: (*session).askTaskSpan,
		},
	}
}

// pushTo makes a push to accounts that no app has.
func (s *session) pushTo(n int) map[string]any {
	accounts := make([]string, n)
	for i := range accounts {
		accounts[i] = fmt.Sprintf("probe-%016x%04d", rand.Uint64(), i)
	}
	return map[string]any{
		"From_Account": s.Identifier, "To_Account": accounts, "MsgRandom": rand.Uint32(),
		"OfflinePushInfo": map[string]any{"PushFlag": 0, "Title": "probe", "Desc": "probe"},
	}
}

// addTask adds a scheduled push, and remembers to delete it.
func (s *session) addTask(at time.Time, content map[string]any) answer {
	a := s.post("add_sched_task", map[string]any{
		"Sdkappid": s.SDKAppID, "Type": "User", "SchedAt": at.UTC().Format(time.DateTime), "Content": content,
	})
	if id := strings.Trim(string(a.fields["TaskID"]), `"`); a.code == 0 && number(a.fields["TaskID"]) > 0 {
		s.tasks = append(s.tasks, json.Number(id))
	}
	return a
}

// farAhead is when the scheduled pushes of a probe would go out.
func farAhead() time.Time { return time.Now().Add(7 * 24 * time.Hour) }

func (s *session) getTask(id json.Number) answer {
	return s.post("get_sched_task", map[string]any{"Sdkappid": s.SDKAppID, "TaskID": id})
}

func (s *session) askTaskContent() found {
	content := s.pushTo(1)
	content["MsgRandom"] = "x"
	v := s.addTask(farAhead(), content).whole()
	switch v.code {
	case 90104:
		return is("task")
	case 90001, 90005:
		return isSo("push", v.String())
	}
	return something(v.String())
}

func (s *session) askTaskStatus() found {
	content := s.pushTo(1)
	if v := s.addTask(farAhead(), content).whole(); v.code != 0 || len(s.tasks) == 0 {
		return something("it cannot be added: " + v.String())
	}
	a := s.getTask(s.tasks[len(s.tasks)-1])
	var info struct {
		Status  json.RawMessage
		Content map[string]json.RawMessage
	}
	if json.Unmarshal(a.fields["TaskInfo"], &info) != nil {
		return something("it cannot be read: " + a.whole().String())
	}
	if from := string(info.Content["From_Account"]); from != "" {
		s.seen[[2]string{"task-sender", map[bool]string{true: "text", false: "number"}[strings.HasPrefix(from, `"`)]}] = true
	}
	return something(word(textOf(info.Status)))
}

// word returns a text if it is one word of letters: nothing else of an answer may get into a report.
func word(text string) string {
	for _, r := range text {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return "not a word"
		}
	}
	if text == "" || len(text) > 20 {
		return "not a word"
	}
	return text
}

func (s *session) askTaskSpan() found {
	const day = 24 * time.Hour
	longest := "no span is accepted"
	for _, days := range []int{1, 7, 31, 92, 366, 3660} {
		now := time.Now().UTC()
		query := map[string]any{
			"Sdkappid": s.SDKAppID, "Offset": 0, "Want": 1, "OrderBy": "createAt", "Asc": true,
			"BeginTime": now.Add(-time.Duration(days) * day).Format(time.DateTime), "EndTime": now.Format(time.DateTime),
		}
		if v := s.post("list_sched_task", query).whole(); v.code != 0 {
			return something(fmt.Sprintf("%s; %d days: %s", longest, days, v))
		}
		longest = fmt.Sprintf("%d days are accepted", days)
	}
	return something("at least 3660 days")
}
