package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// tool returns the path of a program of Debian's package prometheus. Without it the test is skipped, in CI it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	missing := fmt.Sprintf("%s is missing, which Debian's package prometheus has: apt-get install -y prometheus", name)
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "alerts_test.yml"}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, "promtool %s: %s", strings.Join(args, " "), out)
	}
}

// TestEveryAlertIsTested: for each there are series that make it fire, and series that do not.
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	var tests struct {
		Tests []struct {
			Cases []struct {
				Alert  string `yaml:"alertname"`
				Expect []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, "alerts_test.yml", &tests)
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, c := range test.Cases {
			fires[c.Alert] = fires[c.Alert] || len(c.Expect) > 0
			rests[c.Alert] = rests[c.Alert] || len(c.Expect) == 0
		}
	}
	for _, rule := range alerts(t) {
		assert.True(t, fires[rule.Alert], "no test makes %s fire", rule.Alert)
		assert.True(t, rests[rule.Alert], "no test shows that %s does not fire", rule.Alert)
	}
}

type alert struct{ Alert, Expr string }

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	readYAML(t, "alerts.yml", &file)
	require.NotEmpty(t, file.Groups)
	return file.Groups[0].Rules
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}

type panel struct {
	ID         int
	Title      string
	Datasource struct{ UID string }
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

func panels(t *testing.T) []panel {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var dashboard struct{ Panels []panel }
	require.NoError(t, json.Unmarshal(text, &dashboard))
	require.NotEmpty(t, dashboard.Panels)
	return dashboard.Panels
}

// TestDashboardIsWellFormed: what Grafana would silently show wrong.
func TestDashboardIsWellFormed(t *testing.T) {
	t.Parallel()
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range panels(t) {
		assert.False(t, ids[p.ID], "%s has the id of another panel", p.Title)
		ids[p.ID] = true
		assert.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				assert.Empty(t, cells[cell], "%s covers another panel", p.Title)
				cells[cell] = p.Title
			}
		}
	}
}

// TestStack runs the program and a Prometheus that scrapes it, and asks that for everything that the dashboard shows.
func TestStack(t *testing.T) {
	t.Parallel()
	binary := tool(t, "prometheus")
	target, logs := start(t)
	prometheus := startPrometheus(t, binary, target)
	for _, p := range panels(t) {
		for _, q := range p.Targets {
			prometheus.answers(t, p.Title, q.Expr)
		}
	}
	prometheus.answers(t, "the variable endpoint", "group by (timpush_endpoint) (timpush_attempts_total)")
	prometheus.knowsAllMetrics(t)
	prometheus.hasHealthyRules(t)
	logs.haveTraces(t)
}

var metricName = regexp.MustCompile(`\b(timpush|http_client)_\w+`)

// knowsAllMetrics checks that each metric that is shown or watched exists, and that each that exists is shown.
func (p *server) knowsAllMetrics(t *testing.T) {
	t.Helper()
	shown := map[string]bool{}
	for _, panel := range panels(t) {
		for _, q := range panel.Targets {
			for _, name := range metricName.FindAllString(q.Expr, -1) {
				shown[name] = true
			}
		}
	}
	var names []string
	p.get(t, "/api/v1/label/__name__/values", nil, &names)
	for name := range shown {
		if !isLabel(name) {
			assert.Contains(t, names, name, "on the dashboard")
		}
	}
	for _, rule := range alerts(t) {
		for _, name := range metricName.FindAllString(rule.Expr, -1) {
			if !isLabel(name) {
				assert.Contains(t, names, name, rule.Alert)
			}
		}
	}
	for _, name := range names {
		family := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count"), "_bucket")
		if strings.HasPrefix(name, "timpush_") || strings.HasPrefix(name, "http_client_") {
			assert.True(t, shown[name] || shown[family+"_bucket"], "%s is not on the dashboard", name)
		}
	}
}

func isLabel(name string) bool {
	return slices.Contains([]string{"timpush_endpoint", "timpush_outcome", "timpush_wait_reason", "timpush_limiter"}, name)
}

func (p *server) hasHealthyRules(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var rules struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		err := p.ask(t.Context(), "/api/v1/rules", nil, &rules)
		if assert.NoError(c, err) && assert.Len(c, rules.Groups, 1) {
			for _, rule := range rules.Groups[0].Rules {
				assert.Equal(c, "ok", rule.Health, "%s: %s", rule.Name, rule.LastError)
			}
		}
	}, time.Minute, 200*time.Millisecond)
}

// lines is a log that can be written and read at the same time.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// haveTraces checks that each record of a call, an attempt or a wait belongs to a trace, and has no account.
func (l *lines) haveTraces(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]int{}
	for line := range strings.Lines(l.text.String()) {
		var record struct {
			Msg     string
			TraceID string `json:"trace_id"`
			SpanID  string `json:"span_id"`
			Timpush map[string]any
		}
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		if record.Timpush == nil {
			continue
		}
		seen[record.Msg]++
		assert.Len(t, record.TraceID, 32, line)
		assert.Len(t, record.SpanID, 16, line)
	}
	for _, kind := range []string{"timpush call", "timpush attempt", "timpush wait"} {
		assert.NotZero(t, seen[kind], kind)
	}
	for _, secret := range []string{"user-", "city", "ShenZhen", "usersig"} {
		assert.NotContains(t, l.text.String(), secret)
	}
}

// start runs the program and returns its address and its log.
func start(t *testing.T) (string, *lines) {
	t.Helper()
	address, log := freeAddress(t), new(lines)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, address, newLogger(log, slog.LevelDebug)) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return address, log
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// server is a Prometheus.
type server struct{ url string }

// startPrometheus runs one with the configuration of this folder, but for the target and a shorter interval.
func startPrometheus(t *testing.T, binary, target string) *server {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	for _, name := range []string{"prometheus.yml", "alerts.yml"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		changed := strings.NewReplacer("127.0.0.1:9464", target, "scrape_interval: 5s", "scrape_interval: 500ms",
			"evaluation_interval: 5s", "evaluation_interval: 1s").Replace(string(text))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600))
	}
	var out lines
	cmd := exec.Command(binary, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), //nolint:noctx // the cleanup ends it, and waits for it
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.text.String())
		}
	})
	return &server{"http://" + address}
}

// answers waits until a query of the dashboard has a result, all of which are numbers.
func (p *server) answers(t *testing.T, title, expr string) {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "10s", "$endpoint", ".*").Replace(expr)
	require.NotContains(t, expr, "$", "a variable that the test does not know")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var result struct {
			Result []struct{ Value [2]any }
		}
		err := p.ask(t.Context(), "/api/v1/query", url.Values{"query": {expr}}, &result)
		if !assert.NoError(c, err) || !assert.NotEmpty(c, result.Result, "%s: no result of %s", title, expr) {
			return
		}
		for _, r := range result.Result {
			n, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
			assert.NoError(c, err)
			assert.False(c, math.IsNaN(n) || math.IsInf(n, 0), "%s: %v of %s", title, n, expr)
		}
	}, time.Minute, 200*time.Millisecond)
}

func (p *server) get(t *testing.T, path string, query url.Values, data any) {
	t.Helper()
	require.NoError(t, p.ask(t.Context(), path, query, data))
}

func (p *server) ask(ctx context.Context, path string, query url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}
