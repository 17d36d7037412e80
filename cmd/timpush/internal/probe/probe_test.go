package probe_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"

	"github.com/timpush/timpush-go/cmd/timpush/internal/probe"
)

type variant = timpushtest.Variant

const (
	mary    = "mary"
	phone   = "379C2F0D-290D-47AE-94D1-919058C39C77"
	unknown = "unknown-1"
)

// findings are the readings that were found, by the key of the question. One that is none of the readings is in brackets.
type findings map[string]string

// probed is a fake that was probed.
type probed struct {
	fake   *timpushtest.Server
	report *probe.Report
	err    error
}

// newFake makes an app with two accounts that have attributes.
func newFake(t *testing.T, v variant, options ...timpushtest.Option) *timpushtest.Server {
	t.Helper()
	fake := timpushtest.NewServer(append([]timpushtest.Option{
		timpushtest.WithInMemory(), timpushtest.WithRegistrationAttrNames("model", "brand"),
		timpushtest.WithKnownAccounts(mary, phone), timpushtest.WithVariant(v),
	}, options...)...)
	t.Cleanup(fake.Close)
	_, _ = fake.Client().SetAttr(t.Context(), before()) // with FailStatusOnSuccess it is done although the client cannot know
	for _, u := range before() {
		require.Equal(t, map[string]string(u.Attrs), fake.Attrs(u.ToAccount))
	}
	time.Sleep(5 * time.Second) // so that it can be read
	return fake
}

// direct hands requests to a fake without a connection: this package sends thousands of them.
type direct struct{ fake *timpushtest.Server }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	req.Host = req.URL.Host
	d.fake.ServeHTTP(answer, req)
	return answer.Result(), nil
}

// newProbe makes one of everything.
func newProbe(t *testing.T, fake *timpushtest.Server) *probe.Probe {
	t.Helper()
	id, identifier, key := fake.App()
	return &probe.Probe{
		HTTP: &http.Client{Transport: direct{fake}}, BaseURL: fake.URL, OtherURL: "http://other.example", SDKAppID: id, Identifier: identifier,
		Sign:     func(identifier string) (string, error) { return tencentyun.GenUserSig(id, key, identifier, 3600) },
		Accounts: []string{mary, phone}, Unknown: unknown, Pause: 500 * time.Millisecond, Say: func(string) {},
	}
}

// run probes a fake in a bubble.
func run(t *testing.T, v variant, edit func(*probe.Probe), options ...timpushtest.Option) (p probed) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.fake = newFake(t, v, options...)
		asked := newProbe(t, p.fake)
		edit(asked)
		p.report, p.err = asked.Run(t.Context(), context.Background()) //nolint:usetesting // restoring outlives the test
		p.restored(t)
	})
	return p
}
func before() []timpush.UserAttrs {
	return []timpush.UserAttrs{
		{ToAccount: mary, Attrs: timpush.Attrs{"city": "Rome", "sex": "f"}},
		{ToAccount: phone, Attrs: timpush.Attrs{"model": "X1"}},
	}
}

// restored checks that all is as it was.
func (p probed) restored(t *testing.T) {
	t.Helper()
	assert.Empty(t, p.report.Unrestored)
	for _, u := range before() {
		assert.Equal(t, map[string]string(u.Attrs), p.fake.Attrs(u.ToAccount))
	}
	assert.Len(t, p.fake.Accounts(), 2)
	assert.LessOrEqual(t, p.report.Calls, probe.MaxCalls)
	assert.Empty(t, p.fake.Pushes())
	for _, call := range p.fake.Calls() {
		assert.NotContains(t, call.Path, "set_attr_name")
	}
}

func (p probed) findings() findings {
	all := findings{}
	for _, f := range p.report.Findings {
		all[f.Key] = f.Reading
		if f.Reading == "" {
			all[f.Key] = "(" + f.Found + ")"
		}
	}
	return all
}

// position is a way to set a switch of the fake, and what the probe then finds that it does not find otherwise.
type position struct {
	variant variant
	finds   findings
}

// positions are those of each switch that are not the default.
var positions = map[string][]position{
	"ReadDelay":             {{variant{ReadDelay: time.Second}, findings{"read-delay": "some"}}},
	"InvalidAttrPerAccount": {{variant{InvalidAttrPerAccount: true}, findings{"invalid-attribute": "account", "long-value": "account"}}},
	"PartialApply":          {{variant{PartialApply: true}, findings{"partly-applied": "part"}}},
	"FailWhenAllFail":       {{variant{FailWhenAllFail: true}, findings{"all-failed": "fail-list"}}},
	"Replace":               {{variant{Replace: true}, findings{"merge": "replaces"}}},
	"Duplicates": {
		{variant{Duplicates: timpushtest.DuplicatesRefused}, findings{"duplicates": "refused"}},
		{variant{Duplicates: timpushtest.DuplicatesListed}, findings{"duplicates": "listed"}},
	},
	"MixedTypesApplied":   {{variant{MixedTypesApplied: true}, findings{"mixed-types": "part"}}},
	"AbsentRefused":       {{variant{AbsentRefused: true}, findings{"remove-absent": "refused"}}},
	"UnknownNamesIgnored": {{variant{UnknownNamesIgnored: true}, findings{"unknown-name": "ignored", "case-of-names": "exact"}}},
	"FoldedNames":         {{variant{FoldedNames: true}, findings{"case-of-names": "folded"}}},
	"EmptyValue": {
		{variant{EmptyValue: timpushtest.EmptyDeletes}, findings{"empty-value": "deletes"}},
		{variant{EmptyValue: timpushtest.EmptyRefused}, findings{"empty-value": "refused"}},
	},
	"EscapedLength": {{variant{EscapedLength: true}, findings{"length": "escaped"}}},
	"LongValue": {
		{variant{LongValue: timpushtest.LongValuePerAccount}, findings{"long-value": "account"}},
		{variant{LongValue: timpushtest.LongValueCut}, findings{"long-value": "cut"}},
	},
	"NonStringCode":   {{variant{NonStringCode: 90033}, findings{"non-string": "90033"}}},
	"ControlsRefused": {{variant{ControlsRefused: true}, findings{"controls": "refused", "nul": "refused"}}},
	"UnknownStored":   {{variant{UnknownStored: true}, findings{"unknown-account": "stored"}}},
	"NotFoundOmitted": {{variant{NotFoundOmitted: true}, findings{"unknown-account-read": "omitted"}}},
	"EmptyAccepted":   {{variant{EmptyAccepted: true}, findings{"empty-list": "accepted", "empty-attrs": "accepted"}}},
	"NotJSONCode":     {{variant{NotJSONCode: 90001}, findings{"not-json": "90001", "empty-body": "90001"}}},
	"HTTP405":         {{variant{HTTP405: true}, findings{"get-method": "405"}}},
	"NotAdminCode":    {{variant{NotAdminCode: 60010}, findings{"not-administrator": "60010"}}},

	"RepeatedRandomRefused": {{variant{RepeatedRandomRefused: true}, findings{"random-repeated": "refused"}}},

	"QuotedNumbers":       {{variant{QuotedNumbers: true}, findings{"numbers": "quoted"}}},
	"OKStatusOnFailure":   {{variant{OKStatusOnFailure: true}, findings{"status": "ok-on-failure"}}},
	"FailStatusOnSuccess": {{variant{FailStatusOnSuccess: true}, findings{"status": "fail-on-success"}}},
	"ErrorInfo": {
		{variant{ErrorInfo: timpushtest.ErrorInfoNone}, findings{"error-info": "none"}},
		{variant{ErrorInfo: timpushtest.ErrorInfoEverywhere}, findings{"error-info": "everywhere"}},
	},
	"ErrorList": {
		{variant{ErrorList: timpushtest.ErrorListNull}, findings{"error-list": "null"}},
		{variant{ErrorList: timpushtest.ErrorListEmpty}, findings{"error-list": "empty"}},
	},
	"ErrorListUnrelated": {{variant{ErrorListUnrelated: true}, findings{"listed-accounts": "unrelated", "error-list": "(no answer showed it)"}}},
	"ErrorListOtherCase": {{variant{ErrorListOtherCase: true}, findings{"listed-accounts": "other-case"}}},
	"ErrorListTwice":     {{variant{ErrorListTwice: true}, findings{"listed-twice": "twice"}}},
	"Gzip":               {{variant{Gzip: true}, findings{"gzip-answers": "yes"}}},
	"TypesOmitted":       {{variant{TypesOmitted: true}, findings{"attr-types": "absent"}}},

	"BatchSizeCode":     {{variant{BatchSizeCode: 90018}, findings{"batch-size": "90018"}}},
	"PastTasksAccepted": {{variant{PastTasksAccepted: true}, findings{"task-past": "accepted"}}},
	"TaskPushCodes":     {{variant{TaskPushCodes: true}, findings{"task-content": "push"}}},
	"TaskSenderNumber":  {{variant{TaskSenderNumber: true}, findings{"task-sender": "number"}}},
}

// quotaPositions are those that a probe of the quota finds.
var quotaPositions = map[string][]position{
	"ThrottleCode": {
		{variant{ThrottleCode: 60011}, findings{"throttle-code": "60011"}},
		{variant{ThrottleCode: 60018}, findings{"throttle-code": "60018"}},
		{variant{ThrottleCode: 60019}, findings{"throttle-code": "60019"}},
	},
	"QuotaScope": {
		{variant{QuotaScope: timpushtest.QuotaPerApp}, findings{"quota-scope": "app"}},
		{variant{QuotaScope: timpushtest.QuotaPerHost}, findings{"quota-scope": "host"}},
	},
	"FixedWindow":      {{variant{FixedWindow: true}, findings{"quota-window": "fixed", "refused-calls": "(it does not matter: the next second has its own quota)"}}},
	"RefusedCallsFree": {{variant{RefusedCallsFree: true}, findings{"refused-calls": "free"}}},
}

// notAsked are the switches that the probe does not ask about, and why.
var notAsked = map[string]string{
	"MaxBody":                "a body that large is no question of the documentation's",
	"BadSignatureLimit":      "it would shut the administrator out",
	"ExpiryTolerance":        "the maker of UserSigs dates them by the clock",
	"FutureTimeRefused":      "the maker of UserSigs dates them by the clock",
	"AppliedOnOpenCodes":     "these codes cannot be caused",
	"TagLimitCode":           "only attributes are changed",
	"TagTotalCode":           "only attributes are changed",
	"TagTotalFailsRequest":   "only attributes are changed",
	"TagsUntyped":            "only attributes are changed",
	"UndocumentedAccepted":   "a push with other fields might go out",
	"FromAccountRequired":    "a push might go out",
	"EmptyCondition":         "a push might go out to everybody",
	"TagsNotAloneRefused":    "a push might go out to everybody",
	"TagsNotAny":             "a push might go out",
	"MsgRandomWindow":        "a push might go out",
	"RecipientsQueued":       "a push might go out",
	"RecipientsCode":         "a push might go out",
	"BatchIDsRefused":        "it takes a push that went out",
	"RevokeInfoOptional":     "it takes a push that went out",
	"TaskAttrsRefused":       "a push might go out to everybody",
	"TasksFree":              "it takes a push that went out",
	"TaskPageSize":           "it takes several scheduled pushes",
	"ChatLoss":               "it takes chat messages",
	"CallbackCommandOmitted": "it takes a push that went out",
	"CallbackRedelivered":    "it takes a push that went out",
	"BadIndexCode":           "the names of the app are not changed",
	"EmptyNameClears":        "the names of the app are not changed",
	"RenameRefused":          "the names of the app are not changed",
	"SameNameRefused":        "the names of the app are not changed",
	"EmptyFieldsAbsent":      "it takes an app without attributes",
	"AnswersInOrder":         "no program may depend on it",
}

func attributes(p *probe.Probe) { p.Pushes = true }
func quota(p *probe.Probe)      { p.Quota, p.Accounts = true, nil }

// TestEachPositionIsFound sets one switch of the fake at a time: the probe must find out this one, and no other.
func TestEachPositionIsFound(t *testing.T) {
	t.Parallel()
	advanced := timpushtest.WithPlan(timpushtest.PlanAdvanced)
	for kind, asked := range map[string]struct {
		edit      func(*probe.Probe)
		positions map[string][]position
	}{"attributes": {attributes, positions}, "quota": {quota, quotaPositions}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			normal := run(t, variant{}, asked.edit, advanced)
			require.NoError(t, normal.err)
			for name, all := range asked.positions {
				for _, at := range all {
					p := run(t, at.variant, asked.edit, advanced)
					require.NoError(t, p.err)
					want := normal.findings()
					maps.Copy(want, at.finds)
					assert.Equal(t, want, p.findings(), name)
				}
			}
		})
	}
}

// TestEverySwitchIsConsidered fails for a new switch of the fake.
func TestEverySwitchIsConsidered(t *testing.T) {
	t.Parallel()
	for f := range reflect.TypeFor[variant]().Fields() {
		known := len(positions[f.Name]) + len(quotaPositions[f.Name]) + len(notAsked[f.Name])
		assert.NotZero(t, known, f.Name)
	}
}

// TestOneAccount has an account of either type, and no other.
func TestOneAccount(t *testing.T) {
	t.Parallel()
	for _, account := range []string{mary, phone} {
		p := run(t, variant{}, func(p *probe.Probe) { p.Accounts, p.Unknown = []string{account}, "" })
		require.NoError(t, p.err)
		found := p.findings()
		assert.Equal(t, "nothing", found["partly-applied"], account)
		assert.Equal(t, "keeps", found["merge"], account)
		assert.Equal(t, "whole", found["mixed-types"], account)
		assert.Equal(t, "(it takes --unknown-account)", found["unknown-account-read"])
	}
}

// TestRestoredAfterAStop stops a probe before each fourth of its questions.
func TestRestoredAfterAStop(t *testing.T) {
	t.Parallel()
	for at := 1; ; at += 4 {
		ended := false
		synctest.Test(t, func(t *testing.T) {
			fake := newFake(t, variant{UnknownStored: true})
			asked := newProbe(t, fake)
			asked.Pushes = true
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			said := 0
			asked.Say = func(string) {
				if said++; said == at {
					stop()
				}
			}
			report, err := asked.Run(ctx, context.WithoutCancel(ctx))
			ended = err == nil
			probed{fake: fake, report: report}.restored(t)
			if !ended {
				require.ErrorIs(t, err, context.Canceled)
			}
			for _, f := range report.Findings {
				assert.NotContains(t, f.Found, mary)
			}
		})
		if ended {
			break
		}
	}
}

// TestRestoredAfterFailures loses every fifth call.
func TestRestoredAfterFailures(t *testing.T) {
	t.Parallel()
	p := run(t, variant{}, func(p *probe.Probe) { p.HTTP.Transport = &losing{next: p.HTTP.Transport, each: 5} })
	require.NoError(t, p.err)
	assert.Equal(t, "keeps", p.findings()["merge"])
}

// TestRestoredAfterAConnectionThatDies: over HTTP/2 all calls use one connection. Once that is dead, a call has no answer until it is closed.
func TestRestoredAfterAConnectionThatDies(t *testing.T) {
	t.Parallel()
	for _, at := range []int{20, 40} {
		var dying *dyingConnection
		p := run(t, variant{}, func(p *probe.Probe) {
			dying = &dyingConnection{next: p.HTTP.Transport, at: at}
			p.HTTP.Transport = dying
		})
		require.NoError(t, p.err)
		assert.Equal(t, "keeps", p.findings()["merge"])
		assert.False(t, dying.dead)
	}
}

// dyingConnection is a connection that dies silently at a call, and for all that follow until it is closed.
type dyingConnection struct {
	next  http.RoundTripper
	at    int
	calls int
	dead  bool
}

func (d *dyingConnection) RoundTrip(req *http.Request) (*http.Response, error) {
	if d.calls++; d.calls == d.at {
		d.dead = true
	}
	if d.dead {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return d.next.RoundTrip(req)
}

// CloseIdleConnections closes the connection.
func (d *dyingConnection) CloseIdleConnections() { d.dead = false }

// losing loses calls after they were carried out: each so many, and all after so many.
type losing struct {
	next        http.RoundTripper
	each, after int
	calls       int
}

func (l *losing) RoundTrip(req *http.Request) (*http.Response, error) {
	l.calls++
	answer, err := l.next.RoundTrip(req)
	if l.each > 0 && l.calls%l.each == 0 || l.after > 0 && l.calls > l.after {
		return nil, assert.AnError
	}
	return answer, err
}

// TestWhatIsNotRestoredIsSaid loses the service in the middle.
func TestWhatIsNotRestoredIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t, variant{})
		asked := newProbe(t, fake)
		asked.HTTP.Transport = &losing{next: asked.HTTP.Transport, after: 20}
		report, err := asked.Run(t.Context(), context.WithoutCancel(t.Context()))
		require.ErrorContains(t, err, "does not answer")
		text := strings.Join(report.Unrestored, "\n")
		for _, want := range []string{`account "mary" had "city" as "Rome"`, `account "mary" had no other attributes`, phone} {
			assert.Contains(t, text, want)
		}
		var table strings.Builder
		require.NoError(t, report.WriteMarkdown(&table, "title"))
		for _, private := range []string{mary, phone, "Rome", "city", "0123456789"} {
			assert.NotContains(t, table.String(), private)
		}
		assert.Contains(t, table.String(), "not settled: stopped early")
	})
}

// TestSecondStop ends restoring.
func TestSecondStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t, variant{})
		asked := newProbe(t, fake)
		hurry, cancel := context.WithCancel(t.Context())
		defer cancel()
		asked.Say = func(line string) {
			if strings.Contains(line, "Restoring") {
				cancel()
			}
		}
		report, err := asked.Run(t.Context(), hurry)
		require.NoError(t, err)
		assert.Contains(t, strings.Join(report.Unrestored, "\n"), "stopped while restoring")
	})
}

// TestAppThatCannotBeAsked changes nothing.
func TestAppThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t, variant{})
		asked := newProbe(t, fake)
		asked.Accounts = []string{"unknown-2"}
		report, err := asked.Run(t.Context(), context.WithoutCancel(t.Context()))
		require.ErrorContains(t, err, `account "unknown-2" cannot be read (code 70107 for the account)`)
		assert.Equal(t, 2, report.Calls)
		asked.Accounts = []string{mary}
		fake.Inject(timpushtest.Fault{}, timpushtest.Answer(http.StatusOK, `{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[]}`))
		_, err = asked.Run(t.Context(), context.WithoutCancel(t.Context()))
		require.ErrorContains(t, err, `account "mary" cannot be read: the answer does not say what it has`)
		assert.Equal(t, map[string]string{"city": "Rome", "sex": "f"}, fake.Attrs(mary))
		asked.Sign = func(string) (string, error) { return "x", nil }
		_, err = asked.Run(t.Context(), context.WithoutCancel(t.Context()))
		require.ErrorContains(t, err, "the app cannot be asked (code 70003)")
	})
}
