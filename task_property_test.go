package timpush_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestTasksAndStatsTellTheTruth makes random calls about scheduled pushes and statistics against random faults. What a call
// says of a task is what the fake has, statistics are those of the fake, no second has more calls than the quotas allow, and
// errors and logs have no secret and nothing of a push.
func TestTasksAndStatsTellTheTruth(t *testing.T) {
	t.Parallel()
	for n := range *seeds {
		number := *seed + uint64(n)
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newPlanner(t, rand.New(rand.NewPCG(number, 4)))
				var planning sync.WaitGroup
				for k := range 1 + d.IntN(3) {
					planning.Go(func() { d.plan(t, rand.New(rand.NewPCG(number, uint64(10+k))), k) })
				}
				planning.Wait()
				d.fake.RunTasks(time.Now().Add(time.Duration(d.Int64N(int64(2 * time.Hour)))))
				var reading sync.WaitGroup
				for k, read := range []func(*testing.T, *rand.Rand){d.listTasks, d.readStats, d.readLoss, d.readTraces, d.readChat} {
					reading.Go(func() { read(t, rand.New(rand.NewPCG(number, uint64(20+k)))) })
				}
				reading.Wait()
				d.requireQuotas(t)
				d.requirePrivate(t)
			})
		})
	}
}

// planner schedules pushes on a fake that answers with random faults.
type planner struct {
	*rand.Rand
	fake   *timpushtest.Server
	client *timpush.Client
	began  time.Time
	chat   map[string]int // the stage that the push of each chat message has reached
	echoes bool           // answers may repeat requests, also the accounts in them
	seen   *secrets
	log    *bytes.Buffer
	events *recorder

	mu     sync.Mutex
	errors []error
}

func newPlanner(t *testing.T, r *rand.Rand) *planner {
	t.Helper()
	s := fake(t, timpushtest.WithQuota(100), timpushtest.WithLatency(50*time.Millisecond, 40*time.Millisecond),
		timpushtest.WithReach(pick(r, 0, 55, 100), pick(r, 10, 50, 100), pick(r, 0, 20, 100)),
		timpushtest.WithVariant(timpushtest.Variant{
			QuotedNumbers: r.IntN(2) == 0, EmptyFieldsAbsent: r.IntN(2) == 0, OKStatusOnFailure: r.IntN(4) == 0, TaskSenderNumber: r.IntN(2) == 0,
			TaskPageSize: r.IntN(4), TaskPushCodes: r.IntN(2) == 0, TaskAttrsRefused: r.IntN(4) == 0, AppliedOnOpenCodes: r.IntN(2) == 0,
			ChatLoss: pick(r, timpushtest.ChatLossTop, timpushtest.ChatLossResults, timpushtest.ChatLossUnnamed),
		}))
	d := &planner{Rand: r, fake: s, began: time.Now(), chat: map[string]int{}, echoes: r.IntN(2) == 0, log: &bytes.Buffer{}, events: &recorder{}}
	_, err := client(s).SetAttr(t.Context(), []timpush.UserAttrs{userIn("private-a", "Rome"), userIn("private-b", "Bonn"), userIn("private-c", "Rome")})
	require.NoError(t, err)
	d.sendChat(t)
	disturbAnswers(s, r, func(r *rand.Rand, c timpushtest.Call) timpushtest.Fault {
		if r.IntN(4) == 0 {
			return timpushtest.ErrorCode(pick(r, 90104, 90107, 90049, 90001, 90033))
		}
		return randomFault(r, c)
	})
	_, _, key := s.App()
	d.seen = watch(s.HTTPClient().Transport, key)
	transport := http.RoundTripper(d.seen)
	if d.echoes {
		transport = echoing(d.seen, r)
	}
	d.client = client(s, timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithMaxAttempts(1+r.IntN(5)), timpush.WithObserver(d.events),
		timpush.WithLogger(slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))))
	return d
}

// sendChat lets the fake have chat messages.
func (d *planner) sendChat(t *testing.T) {
	t.Helper()
	var taken int
	handler, err := timpush.NewCallbackHandler(timpush.Callbacks{
		SDKAppID: d.fake.Config().SDKAppID, Chat: func(_ context.Context, events []timpush.ChatPushEvent) error { taken += len(events); return nil },
	})
	require.NoError(t, err)
	for n := range d.IntN(8) {
		id := fmt.Sprint("message ", n)
		d.chat[id] = d.IntN(4)
		_, err := d.fake.SendCallback(t.Context(), handler, timpushtest.Event{
			"CallbackCommand": "Push.OfflinePush", "PushID": id, "To_Account": "private-a", "PushPlatform": 1 + n%2, "PushStage": max(d.chat[id], 1),
			"ErrCode": map[bool]int{true: -1}[d.chat[id] == 0], "ErrInfo": "lost",
		})
		require.NoError(t, err)
	}
	require.Len(t, d.chat, taken)
}

// echoing is a transport behind a gateway that now and then repeats a request in place of its answer, and then has not passed
// it on where it says so.
func echoing(next http.RoundTripper, r *rand.Rand) roundTripper {
	own := rand.New(rand.NewPCG(r.Uint64(), 5))
	var mu sync.Mutex
	return func(request *http.Request) (*http.Response, error) {
		mu.Lock()
		n := own.IntN(30)
		mu.Unlock()
		if n > 2 {
			return next.RoundTrip(request)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			request.Body = io.NopCloser(bytes.NewReader(body))
			if resp, err := next.RoundTrip(request); err == nil {
				_ = resp.Body.Close()
			}
			return response(http.StatusBadGateway, fmt.Sprintf("<p>%s %s</p>", request.URL, body)), nil
		}
		return response(http.StatusOK, fmt.Sprintf(`{"ActionStatus":"FAIL","ErrorCode":90104,"ErrorInfo":%q}`, fmt.Sprint(request.URL, string(body)))), nil
	}
}

// call makes a call that may be given up, and keeps its error.
func (d *planner) call(t *testing.T, r *rand.Rand, call func(context.Context) error) timpush.Outcome {
	t.Helper()
	ctx := t.Context()
	if r.IntN(4) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Int64N(int64(5*time.Second))))
		defer cancel()
	}
	err := call(ctx)
	if err == nil {
		return timpush.Done
	}
	time.Sleep(time.Millisecond) // the fake sees that the client has gone
	d.mu.Lock()
	d.errors = append(d.errors, err)
	d.mu.Unlock()
	var failed *timpush.CallError
	if !assert.ErrorAs(t, err, &failed) {
		return timpush.Unknown
	}
	assert.NotEqual(t, timpush.Done, failed.Outcome)
	return failed.Outcome
}

// plan adds scheduled pushes and changes, deletes and reads those that it has added.
func (d *planner) plan(t *testing.T, r *rand.Rand, planner int) {
	t.Helper()
	var ids []int64
	for n := range 12 {
		title := fmt.Sprintf("secret title %d of %d", n, planner)
		switch n := r.IntN(7); {
		case len(ids) == 0 || n < 3:
			if id := d.add(t, r, title); id != 0 {
				ids = append(ids, id)
			}
		case n < 5:
			d.modify(t, r, pick(r, ids...), title)
		case n < 6:
			d.delete(t, r, pick(r, ids...))
		default:
			d.read(t, r, pick(r, ids...))
		}
		if r.IntN(8) == 0 {
			d.fake.RunTasks(time.Now())
		}
	}
}

func randomContent(r *rand.Rand, kind timpush.TaskType, title string) timpush.TaskContent {
	content := timpush.TaskContent{Push: timpush.Push{Notification: timpush.Notification{Title: title, Desc: "secret text"}}}
	switch kind {
	case timpush.TaskAll:
		content.To.Everybody = true
	case timpush.TaskTag:
		content.To.AttrsAnd = timpush.Attrs{"city": pick(r, "Rome", "Bonn")}
	default:
		content.Accounts = []string{"private-b", "private-a", "private-b"}[:1+r.IntN(3)]
	}
	return content
}

// randomTime is soon or later, so that some tasks are late when they arrive.
func randomTime(r *rand.Rand) time.Time {
	return time.Now().Add(time.Second + time.Duration(r.Int64N(int64(pick(r, 10*time.Second, 2*time.Hour))))).Truncate(time.Second)
}

// task returns a task of the fake, or nil.
func (d *planner) task(is func(timpushtest.Task) bool) *timpushtest.Task {
	tasks := d.fake.Tasks()
	if k := slices.IndexFunc(tasks, is); k >= 0 {
		return &tasks[k]
	}
	return nil
}

func (d *planner) taskOf(id int64) *timpushtest.Task {
	return d.task(func(task timpushtest.Task) bool { return task.ID == id })
}

// add returns the ID of the task that it has added, or 0.
func (d *planner) add(t *testing.T, r *rand.Rand, title string) (id int64) {
	t.Helper()
	at := randomTime(r)
	kind := pick(r, timpush.TaskAll, timpush.TaskTag, timpush.TaskUser)
	outcome := d.call(t, r, func(ctx context.Context) (err error) {
		id, err = d.client.AddTask(ctx, timpush.Schedule{At: at, TaskContent: randomContent(r, kind, title)})
		return err
	})
	var added []timpushtest.Task
	for _, task := range d.fake.Tasks() {
		if task.Title == title {
			added = append(added, task)
		}
	}
	switch {
	case outcome == timpush.Done && assert.Len(t, added, 1, "the task is added once"):
		assert.Equal(t, added[0].ID, id)
		assert.Equal(t, string(kind), added[0].Type)
		assert.True(t, at.Equal(added[0].At))
	case outcome == timpush.Unknown:
		assert.LessOrEqual(t, len(added), 1, "the task is not added twice")
	default:
		assert.Empty(t, added, "the task is %v", outcome)
	}
	if len(added) == 0 {
		return 0
	}
	return added[0].ID
}

func (d *planner) modify(t *testing.T, r *rand.Rand, id int64, title string) {
	t.Helper()
	before := d.taskOf(id)
	change := timpush.TaskChange{Type: timpush.TaskAll, At: randomTime(r)}
	if before != nil {
		change.Type = timpush.TaskType(before.Type)
	}
	if r.IntN(2) == 0 {
		content := randomContent(r, change.Type, title)
		change.Content = &content
	}
	outcome := d.call(t, r, func(ctx context.Context) error { return d.client.ModifyTask(ctx, id, change) })
	after := d.taskOf(id)
	if before == nil {
		assert.Contains(t, []timpush.Outcome{timpush.Rejected, timpush.Unknown, timpush.NotSent}, outcome, "there is no such task")
		return
	}
	changed := after.At.Equal(change.At) && (change.Content == nil || after.Title == title)
	same := after.At.Equal(before.At) && bytes.Equal(after.Content, before.Content)
	switch outcome {
	case timpush.Done:
		assert.True(t, changed)
	case timpush.Unknown:
		assert.True(t, changed || same)
	default:
		assert.True(t, same, "the change is %v", outcome)
	}
}

func (d *planner) delete(t *testing.T, r *rand.Rand, id int64) {
	t.Helper()
	before := d.taskOf(id)
	kind := timpush.TaskUser
	if before != nil {
		kind = timpush.TaskType(before.Type)
	}
	outcome := d.call(t, r, func(ctx context.Context) error { return d.client.DeleteTask(ctx, id, kind) })
	switch after := d.taskOf(id); outcome {
	case timpush.Done:
		assert.Nil(t, after)
		assert.NotNil(t, before)
	case timpush.Unknown:
	default:
		assert.Equal(t, before == nil, after == nil, "the deletion is %v", outcome)
	}
}

func (d *planner) read(t *testing.T, r *rand.Rand, id int64) {
	t.Helper()
	var task *timpush.Task
	if d.call(t, r, func(ctx context.Context) (err error) { task, err = d.client.Task(ctx, id); return err }) != timpush.Done {
		assert.Nil(t, task)
	} else if stored := d.taskOf(id); assert.NotNil(t, stored) {
		d.compare(t, *stored, task)
	}
}

// compare compares what does not change when a task is carried out.
func (d *planner) compare(t *testing.T, stored timpushtest.Task, task *timpush.Task) {
	t.Helper()
	assert.Equal(t, stored.ID, task.TaskID)
	assert.Equal(t, stored.Title, task.Title)
	assert.Equal(t, stored.Title, task.Content.Push.Notification.Title)
	assert.Equal(t, stored.Type, string(task.Type))
	assert.True(t, stored.At.Equal(task.SchedAt))
	assert.Equal(t, d.client.SDKAppID(), task.SDKAppID)
}

// listTasks: while none changes, each task comes once.
func (d *planner) listTasks(t *testing.T, r *rand.Rand) {
	t.Helper()
	for range 3 {
		stored := d.fake.Tasks()
		q := timpush.TaskQuery{
			BeginTime: d.began.Add(-time.Hour), EndTime: time.Now().Add(3 * time.Hour),
			OrderBy: pick(r, "", "createAt", "schedAt"), Asc: r.IntN(2) == 0, Want: r.IntN(6), Offset: r.IntN(3) / 2 * r.IntN(len(stored)+2), Keyword: pick(r, "", "secret title"),
		}
		listed := map[int64]bool{}
		outcome := d.call(t, r, func(ctx context.Context) error {
			for task, err := range d.client.Tasks(ctx, q) {
				if err != nil {
					assert.Nil(t, task)
					return err
				}
				assert.False(t, listed[task.TaskID], "it has come already")
				listed[task.TaskID] = true
				if k := slices.IndexFunc(stored, func(s timpushtest.Task) bool { return s.ID == task.TaskID }); assert.GreaterOrEqual(t, k, 0) {
					d.compare(t, stored[k], task)
					assert.Equal(t, stored[k].State, task.Status)
					assert.Equal(t, stored[k].TaskID, task.PushTaskID)
				}
			}
			return nil
		})
		if outcome == timpush.Done {
			assert.Len(t, listed, max(len(stored)-q.Offset, 0))
		}
	}
}

// randomIDs returns some TaskIDs of pushes, some of them twice.
func (d *planner) randomIDs(r *rand.Rand) (ids []string, pushes map[string]timpushtest.Push) {
	pushes = map[string]timpushtest.Push{}
	for _, p := range d.fake.Pushes() {
		for range r.IntN(3) {
			ids = append(ids, p.TaskID)
			pushes[p.TaskID] = p
		}
	}
	r.Shuffle(len(ids), func(i, k int) { ids[i], ids[k] = ids[k], ids[i] })
	return ids, pushes
}

// period has all pushes so far.
func (d *planner) period() (from, to time.Time) {
	return d.began.Add(-time.Hour), time.Now().Add(3 * time.Hour)
}

func (d *planner) readStats(t *testing.T, r *rand.Rand) {
	t.Helper()
	ids, asked := d.randomIDs(r)
	pushes := d.fake.Pushes()
	var stats []timpush.PushStats
	from, to := d.period()
	outcome := d.call(t, r, func(ctx context.Context) (err error) {
		stats, err = d.client.PushStats(ctx, from, to, ids...)
		return err
	})
	if len(ids) == 0 { // the total of all
		total := timpushtest.Push{}
		for _, p := range pushes {
			total.Accounts = append(total.Accounts, p.Accounts...)
			total.Sent, total.Reached, total.Clicked = total.Sent+p.Sent, total.Reached+p.Reached, total.Clicked+p.Clicked
		}
		asked[""] = total
	}
	for _, s := range stats {
		p, ok := asked[s.TaskID]
		assert.True(t, ok, "it was not asked for, or comes twice")
		delete(asked, s.TaskID)
		assert.Equal(t, [4]int{len(p.Accounts), p.Sent, p.Reached, p.Clicked}, [4]int{s.TotalCount, s.SentCount, s.DeliveredCount, s.ClickCount})
		assert.Equal(t, [4]int{len(p.Accounts), p.Sent, p.Reached, p.Clicked}, sum(s.PlatformStatistics))
	}
	assert.Equal(t, outcome == timpush.Done, len(asked) == 0, "all are there unless the call fails")
}

func sum(platforms []timpush.PlatformStats) (all [4]int) {
	for _, s := range platforms {
		for k, n := range [4]int{s.TotalCount, s.SentCount, s.DeliveredCount, s.ClickCount} {
			all[k] += n
		}
	}
	return all
}

func losses(list []timpush.Loss) (n int) {
	for _, l := range list {
		n += l.ErrCount
	}
	return n
}

func (d *planner) readLoss(t *testing.T, r *rand.Rand) {
	t.Helper()
	ids, asked := d.randomIDs(r)
	ids = append(ids, "of no push")
	var loss []timpush.PushLoss
	from, to := d.period()
	outcome := d.call(t, r, func(ctx context.Context) (err error) {
		loss, err = d.client.PushLoss(ctx, from, to, ids...)
		return err
	})
	for _, l := range loss {
		p, ok := asked[l.TaskID]
		assert.True(t, ok, "it was not asked for, or comes twice")
		delete(asked, l.TaskID)
		lost := [4]int{losses(l.ReadyToSendLoss), losses(l.PostSendDeliveredLoss), losses(l.PlatformReadyToSendLoss), losses(l.PlatformPostSendDeliveredLoss)}
		assert.Equal(t, [4]int{len(p.Accounts) - p.Sent, p.Sent - p.Reached, len(p.Accounts) - p.Sent, p.Sent - p.Reached}, lost)
	}
	if outcome == timpush.Done {
		assert.Empty(t, asked)
	}
}

func (d *planner) readTraces(t *testing.T, r *rand.Rand) {
	t.Helper()
	for _, p := range d.fake.Pushes() {
		k := slices.Index(p.Accounts, "private-a")
		var trace []timpush.DeviceTrace
		outcome := d.call(t, r, func(ctx context.Context) (err error) {
			trace, err = d.client.PushTrace(ctx, p.TaskID, "private-a")
			return err
		})
		switch {
		case outcome != timpush.Done || k < 0:
			assert.Empty(t, trace)
		case assert.Len(t, trace, 1):
			stat := trace[0].OfflinePushStat
			assert.Equal(t, [3]bool{k < p.Sent, k < p.Reached, k < p.Clicked}, [3]bool{stat.OfflineStat.PushStatus == 1, stat.DeviceStat.PushStatus == 1, stat.ClickStat.PushStatus == 1})
		}
	}
}

func (d *planner) readChat(t *testing.T, r *rand.Rand) {
	t.Helper()
	var reached [4]int // how many chat messages have reached a stage
	for _, last := range d.chat {
		for stage := range last + 1 {
			reached[stage]++
		}
	}
	from, to := d.period()
	var stats *timpush.ChatStats
	if d.call(t, r, func(ctx context.Context) (err error) { stats, err = d.client.ChatStats(ctx, from, to); return err }) == timpush.Done {
		assert.Equal(t, reached, [4]int{stats.TotalCount, stats.SentCount, stats.DeliveredCount, stats.ClickCount})
		assert.Equal(t, reached, sum(stats.PlatformStatistics))
	}
	var loss *timpush.ChatLoss
	if d.call(t, r, func(ctx context.Context) (err error) { loss, err = d.client.ChatLoss(ctx, from, to); return err }) == timpush.Done {
		assert.Equal(t, reached[0]-reached[1], losses(loss.ReadyToSendLoss))
		assert.Equal(t, reached[0]-reached[1], losses(loss.PlatformReadyToSendLoss))
	}
	for id, last := range d.chat {
		var trace []timpush.DeviceTrace
		if d.call(t, r, func(ctx context.Context) (err error) { trace, err = d.client.ChatTrace(ctx, id); return err }) == timpush.Done && assert.Len(t, trace, 1) {
			assert.Equal(t, last == 3, trace[0].OfflinePushStat.ClickStat.PushStatus == 1)
		}
	}
}

// requireQuotas checks that no second has more than 5 calls about tasks, and than one about statistics.
func (d *planner) requireQuotas(t *testing.T) {
	t.Helper()
	var tasks, stats []time.Time
	for _, c := range d.fake.Calls() {
		switch {
		case strings.HasSuffix(c.Path, "_sched_task"):
			tasks = append(tasks, c.Time)
		case strings.Contains(c.Path, "_push_"):
			stats = append(stats, c.Time)
		}
	}
	require.NotEmpty(t, tasks)
	for rate, times := range map[int][]time.Time{5: tasks, 1: stats} {
		for k := rate; k < len(times); k++ {
			require.GreaterOrEqual(t, times[k].Sub(times[k-rate]), time.Second, "at most %d in any second", rate)
		}
	}
}

// requirePrivate searches all that was printed.
func (d *planner) requirePrivate(t *testing.T) {
	t.Helper()
	texts := append(printed(errors.Join(d.errors...)), d.log.String(), fmt.Sprintf("%+v", d.events.all()))
	d.seen.search(t, texts...)
	for _, text := range texts {
		require.NotContains(t, text, "secret t", "a title or a text")
	}
	for _, text := range texts[len(texts)-2:] {
		require.NotContains(t, text, "private-", "an account in the log")
	}
	if !d.echoes {
		require.NotContains(t, strings.Join(texts, "\n"), "private-", "an account")
	}
}
