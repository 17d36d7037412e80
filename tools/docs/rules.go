package main

import "regexp"

// rule says how a command is run, or why it is skipped. The first that matches counts; a command without one is run as it is
// and must exit with 0.
type rule struct {
	match *regexp.Regexp
	as    string // what is run instead; $1 and so on are of match
	exit  int    // the exit code
	skip  string // why it is not run
	named bool   // with skip: the tests and benchmarks that its -run and -bench name must exist
}

const (
	unpublished = "a version that is not published yet; make rehearse tries it with the next one"
	elsewhere   = "another step of .ci/run runs it"
	figures     = "it measures, for minutes"
)

var rules = []rule{
	{match: rx(`^go (get|install) github\.com/timpush/`), skip: unpublished},
	{match: rx(`^go test (-race )?(-shuffle=on )?\./\.\.\.`), skip: elsewhere},
	{match: rx(`^bash (scripts/test\.sh|\.ci/run)$`), skip: elsewhere},
	{match: rx(`^make (.*)$`), as: "make --dry-run $1 >/dev/null"},
	{match: rx(`^go run \./tools/\S+ -write$`), skip: "it writes; without the flag it is a step of .ci/run"},
	{match: rx(`^go test -run TestBad -badinput \.$`), skip: "it writes; without the flag it is a test", named: true},
	{match: rx(`^go test -run 'NAME' \.$`), skip: "NAME is one of those in the tables, which tests compare"},
	{match: rx(`^go run \. (all|call|bulk|batcher|memory|latency|pace|sharing|replicas|dispatch|tool)\b`), skip: figures},
	{match: rx(`^go run \. (&|-debug)`), skip: "it does not end; the tests of oteltimpush/stack run it"},
	{match: rx(`^go run \./examples/loginservice -fake$`), skip: "it does not end; its tests run it"},
	{match: rx(`^prometheus `), skip: "it does not end; the tests of oteltimpush/stack run it"},
	{match: rx(`^apt-get install `), skip: "it installs packages"},
	{match: rx(`^(TIMPUSH_\w+=\S+ )?go test .*-(run|bench) `), skip: figures, named: true},
	{match: rx(`^bash scripts/terminal\.sh `), skip: "it records a terminal, and writes"},
	{match: rx(`^go install \./cmd/timpush$`), as: "go build -o /dev/null ./cmd/timpush"},
	{match: rx(`^timpush serve`), skip: "it is what the other commands run against"},
	{match: rx(`^timpush init$`), as: "timpush init --force"},
	{match: rx(`^timpush revoke TASKID --yes$`), skip: "TASKID is that of a push; the tests of cmd/timpush revoke one"},
	{match: rx(`^timpush stats TASKID$`), as: "timpush stats"},
	{match: rx(`^timpush tasks (show|change|delete) TASK\b`), skip: "TASK is the number of a task; docs/campaign.md has them with one"},
	{match: rx(`^timpush callbacks (.* &)$`), as: "timeout 60 timpush callbacks $1"}, // it must not stay if no events come
	{match: rx(`^timpush callbacks$`), as: "timeout --preserve-status --signal INT 1 timpush callbacks --listen 127.0.0.1:0"},
	{match: rx(`^timpush queue`), skip: "it needs a NATS server; the tests of cmd/timpush run it"},
	{match: rx(`^timpush set_attr$`), skip: "it is the name of a span"},
	{match: rx(`^timpush set-attr (u\.csv)$`), as: "cp users.csv $1 && timpush set-attr $1"},
	{match: rx(`^timpush set-attr (users\.csv\.failed\.ndjson)$`), as: `echo '{"To_Account":"mary","city":"Rome"}' >$1 && timpush set-attr $1 && rm $1`},
	{match: rx(`^timpush set-attr( --json)?$`), as: "timpush set-attr$1 users.csv"},
	{match: rx(`^timpush preflight FILE\.\.\.$`), as: "timpush preflight users.csv"},
	{match: rx(`^timpush names set --yes (.*)$`), as: "timpush names set --yes $1"},
	{match: rx(`^timpush names set (.*)$`), as: "timpush names set $1", exit: 2}, // nothing happens without --yes
	{match: rx(`^timpush usersig inspect$`), as: "timpush usersig | timpush usersig inspect"},
	{match: rx(`^timpush probe$`), as: "timpush probe --help"},
	{match: rx(`^timpush man DIRECTORY$`), as: "timpush man ."},
}

// ruleFor returns the rule of a command; the zero rule if there is none.
func ruleFor(text string) rule {
	for _, r := range rules {
		if r.match.MatchString(text) {
			return r
		}
	}
	return rule{}
}

func rx(expression string) *regexp.Regexp { return regexp.MustCompile(expression) }
