package main

import (
	"strings"
	"testing"
)

func TestWithSection(t *testing.T) {
	t.Parallel()
	const section = "## b: title\n\nnew\n"
	for name, tc := range map[string]struct{ document, want string }{
		"empty":    {"", "## b: title\n\nnew\n"},
		"added":    {"# Old\n\n## a: x\n\none\n", "## a: x\n\none\n\n## b: title\n\nnew\n"},
		"replaced": {"# Old\n\n## a: x\n\none\n\n## b: y\n\ntwo\n\n## c: z\n\nthree\n", "## a: x\n\none\n\n## b: title\n\nnew\n\n## c: z\n\nthree\n"},
		"last":     {"# Old\n\n## b: y\n\ntwo", "## b: title\n\nnew\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(withSection(tc.document, "b", section), "\n")
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if again := strings.Join(withSection("# New\n\n"+got, "b", section), "\n"); again != got {
				t.Errorf("a second time it is %q", again)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	r := report{checks: []check{{what: "users", goal: "at least 2", measured: "3", ratio: "1.5 × a loop", reached: true}, {what: "calls", goal: "at most 2", measured: "3"}}, tables: []table{{head: []string{"a"}, rows: [][]string{{"b"}}}}}
	got := summary([]string{"## x: nothing\n", r.section(figure{name: "f", title: "a title, short"}, "")}).markdown()
	const want = "| figure | what | goal | measured | ratio to a baseline |  |\n| --- | --- | --- | --- | --- | --- |\n" +
		"| [f](#f-a-title-short) | users | at least 2 | 3 | 1.5 × a loop | reached |\n| [f](#f-a-title-short) | calls | at most 2 | 3 |  | **falls short** |"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
