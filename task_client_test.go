package timpush_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
)

// scripted answers each request with the next of some bodies, the last of them again and again, and keeps the requests.
// A body "lost" is a lost answer.
type scripted struct {
	answers []string
	sent    []string // path and body
}

func (s *scripted) client(t *testing.T) *timpush.Client {
	t.Helper()
	return newClient(t, through(s.roundTrip),
		timpush.WithQuota(timpush.QuotaTasks, unlimited{}), timpush.WithQuota(timpush.QuotaStats, unlimited{}))
}

func (s *scripted) roundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.sent = append(s.sent, strings.TrimPrefix(r.URL.Path, "/v4/timpush/")+" "+string(body))
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	if answer == "lost" {
		return nil, io.ErrUnexpectedEOF
	}
	return response(http.StatusOK, answer), nil
}

const okEnvelope = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0`

func refusing(code int) string {
	return fmt.Sprintf(`{"ActionStatus":"FAIL","ErrorCode":%d,"TaskID":0}`, code)
}

func tomorrow() time.Time { return time.Now().Add(24 * time.Hour) }

func TestAddTask(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := &scripted{answers: []string{okEnvelope + `,"TaskID":"42"}`}}
		at := time.Now().Add(time.Hour)
		id, err := s.client(t).AddTask(t.Context(), timpush.Schedule{At: at, TaskContent: timpush.TaskContent{To: timpush.Audience{AttrsAnd: timpush.Attrs{"city": "gold"}}, Push: hello}})
		require.NoError(t, err)
		assert.EqualValues(t, 42, id)
		assert.Equal(t, []string{`add_sched_task {"Sdkappid":1400000000,"Type":"Tag","SchedAt":"` + at.UTC().Format(time.DateTime) + `","Content":{"From_Account":"administrator",` +
			`"Condition":{"AttrsAnd":{"city":"gold"}},"OfflinePushInfo":{"Title":"secret title","Desc":"secret text"}}}`}, s.sent)
	})
}

func TestAddTaskInThePast(t *testing.T) {
	t.Parallel()
	s := &scripted{}
	_, err := s.client(t).AddTask(t.Context(), timpush.Schedule{At: time.Now().Add(-time.Minute), TaskContent: timpush.TaskContent{To: timpush.Audience{Everybody: true}, Push: hello}})
	var input *timpush.InputErrors
	require.ErrorAs(t, err, &input)
	assert.Equal(t, "At", input.Faults[0].Field)
	assert.Empty(t, s.sent)
}

func TestTaskOutcomes(t *testing.T) {
	t.Parallel()
	add := func(t *testing.T, c *timpush.Client) error {
		_, err := c.AddTask(t.Context(), timpush.Schedule{At: tomorrow(), TaskContent: timpush.TaskContent{To: timpush.Audience{Everybody: true}, Push: hello}})
		return err
	}
	modify := func(t *testing.T, c *timpush.Client) error {
		return c.ModifyTask(t.Context(), 7, timpush.TaskChange{Type: timpush.TaskAll, At: tomorrow()})
	}
	remove := func(t *testing.T, c *timpush.Client) error { return c.DeleteTask(t.Context(), 7, timpush.TaskAll) }
	for name, tc := range map[string]struct {
		call    func(*testing.T, *timpush.Client) error
		answers []string
		want    timpush.Outcome
		sent    int
	}{
		"add, lost":                 {add, []string{"lost", okEnvelope + `,"TaskID":1}`}, timpush.Unknown, 1},
		"add, internal error":       {add, []string{refusing(91000), okEnvelope + `,"TaskID":1}`}, timpush.Unknown, 1},
		"add, without an ID":        {add, []string{okEnvelope + `}`}, timpush.Done, 1},
		"add, refused":              {add, []string{refusing(90104)}, timpush.Rejected, 1},
		"add, throttled":            {add, []string{refusing(60007), okEnvelope + `,"TaskID":1}`}, timpush.Done, 2},
		"modify, lost":              {modify, []string{"lost", okEnvelope + `}`}, timpush.Done, 2},
		"modify, refused":           {modify, []string{refusing(90107)}, timpush.Rejected, 1},
		"modify, lost and refused":  {modify, []string{"lost", refusing(90107)}, timpush.Unknown, 2},
		"delete, lost":              {remove, []string{"lost", okEnvelope + `,"TaskID":7}`}, timpush.Done, 2},
		"delete, refused":           {remove, []string{refusing(90107)}, timpush.Rejected, 1},
		"delete, lost and refused":  {remove, []string{"lost", refusing(90107)}, timpush.Unknown, 2},
		"delete, throttled, gone":   {remove, []string{refusing(60007), refusing(90107)}, timpush.Rejected, 2},
		"delete, an undocumented 1": {remove, []string{refusing(90101)}, timpush.Rejected, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := &scripted{answers: tc.answers}
				err := tc.call(t, s.client(t))
				assert.Len(t, s.sent, tc.sent)
				if tc.want == timpush.Done {
					require.NoError(t, err)
					return
				}
				var failed *timpush.CallError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, tc.want, failed.Outcome)
			})
		})
	}
}

func TestTask(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []string{okEnvelope + `,"TaskInfo":{"TaskID":7,"Status":"pending","Type":"All","Content":{"OfflinePushInfo":{"Title":"t"}}}}`}}
	task, err := s.client(t).Task(t.Context(), 7)
	require.NoError(t, err)
	assert.Equal(t, "pending", task.Status)
	assert.Equal(t, []string{`get_sched_task {"Sdkappid":1400000000,"TaskID":7}`}, s.sent)

	s = &scripted{answers: []string{refusing(90104)}}
	task, err = s.client(t).Task(t.Context(), 7)
	assert.Nil(t, task)
	require.ErrorIs(t, err, timpush.Code(90104))

	nothing := &scripted{answers: []string{okEnvelope + `}`}}
	task, err = nothing.client(t).Task(t.Context(), 7)
	assert.Nil(t, task)
	require.Error(t, err, "the answer has no task")

	var input *timpush.InputErrors
	_, err = s.client(t).Task(t.Context(), 0)
	require.ErrorAs(t, err, &input)
	require.ErrorAs(t, s.client(t).DeleteTask(t.Context(), 0, ""), &input)
	require.ErrorAs(t, s.client(t).ModifyTask(t.Context(), 7, timpush.TaskChange{Type: timpush.TaskAll}), &input)
	assert.Len(t, s.sent, 1)
}

func page(total any, ids ...int) string {
	tasks := make([]string, len(ids))
	for i, id := range ids {
		tasks[i] = fmt.Sprintf(`{"TaskID":%d}`, id)
	}
	return fmt.Sprintf(`%s,"Total":%v,"Tasks":[%s]}`, okEnvelope, total, strings.Join(tasks, ","))
}

func TestTasks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers []string
		ids     []int64
		offsets []int
		fails   bool
	}{
		"none":                 {[]string{page(0)}, nil, []int{0}, false},
		"one page":             {[]string{page(2, 1, 2)}, []int64{1, 2}, []int{0}, false},
		"two pages":            {[]string{page(3, 1, 2), page(3, 3)}, []int64{1, 2, 3}, []int{0, 2}, false},
		"no total":             {[]string{page("null", 1, 2), page("null", 3), page("null")}, []int64{1, 2, 3}, []int{0, 2, 3}, false},
		"total is wrong":       {[]string{page(9, 1, 2), page(9)}, []int64{1, 2}, []int{0, 2}, false},
		"offset is ignored":    {[]string{page("null", 1, 2)}, []int64{1, 2}, []int{0, 2}, false},
		"smaller than wanted":  {[]string{page(`"3"`, 1), page(3, 2), page(3, 3)}, []int64{1, 2, 3}, []int{0, 1, 2}, false},
		"one is added":         {[]string{page(2, 2), page(3, 2), page(3, 1)}, []int64{2, 2, 1}, []int{0, 1, 2}, false},
		"always the same page": {[]string{page(9, 1, 2)}, []int64{1, 2}, []int{0, 2}, false},
		"always the same one":  {[]string{page("null", 1)}, []int64{1}, []int{0, 1}, false},
		"unreadable numbers":   {[]string{page("null", -1, -1)}, []int64{-1, -1}, []int{0, 2}, false},
		"no numbers":           {[]string{page(4, 0, 0), page(4, 0, 0)}, []int64{0, 0, 0, 0}, []int{0, 2}, false},
		"fails":                {[]string{refusing(90104)}, nil, []int{0}, true},
		"the second one fails": {[]string{page(3, 1, 2), refusing(90104)}, []int64{1, 2}, []int{0, 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{answers: tc.answers}
			var ids []int64
			var failed error
			for task, err := range s.client(t).Tasks(t.Context(), timpush.TaskQuery{BeginTime: time.Now(), EndTime: tomorrow(), Want: 2}) {
				require.NoError(t, failed, "an error is the last")
				if failed = err; err == nil {
					ids = append(ids, task.TaskID)
				}
			}
			assert.Equal(t, tc.ids, ids)
			assert.Equal(t, tc.fails, failed != nil, failed)
			var offsets []int
			for _, sent := range s.sent {
				var body struct{ Offset, Want int }
				require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(sent, "list_sched_task ")), &body))
				offsets = append(offsets, body.Offset)
				assert.Equal(t, 2, body.Want)
			}
			assert.Equal(t, tc.offsets, offsets)
		})
	}
}

func TestTasksThatAreNotUsedUp(t *testing.T) {
	t.Parallel()
	s := &scripted{answers: []string{page(100, 1, 2)}}
	tasks := s.client(t).Tasks(t.Context(), timpush.TaskQuery{BeginTime: time.Now(), EndTime: tomorrow()})
	for range 2 {
		for task, err := range tasks {
			require.NoError(t, err)
			assert.EqualValues(t, 1, task.TaskID)
			break
		}
	}
	assert.Len(t, s.sent, 2, "one for each use")
	for _, err := range s.client(t).Tasks(t.Context(), timpush.TaskQuery{}) {
		require.ErrorAs(t, err, new(*timpush.InputErrors))
	}
}

// TestTasksOfManyAccounts lists a page of the default size, whose tasks have as many accounts as they can and long notifications.
func TestTasksOfManyAccounts(t *testing.T) {
	t.Parallel()
	account := strings.Repeat("A", 36) // bytes, as a RegistrationID has
	accounts := strings.Repeat(`"`+account+`",`, 499) + `"` + account + `"`
	task := `{"TaskID":1,"Content":{"To_Account":[` + accounts + `],"OfflinePushInfo":{"Ext":"` + strings.Repeat(`\u00fc`, 5000) + `"}}}`
	s := &scripted{answers: []string{okEnvelope + `,"Total":50,"Tasks":[` + strings.Repeat(task+",", 49) + task + `]}`}}
	n := 0
	for got, err := range s.client(t).Tasks(t.Context(), timpush.TaskQuery{BeginTime: time.Now(), EndTime: tomorrow()}) {
		require.NoError(t, err)
		require.Len(t, got.Content.Accounts, 500)
		n++
	}
	assert.Equal(t, 50, n)
}
