package main

import "testing"

func TestWithSection(t *testing.T) {
	t.Parallel()
	const intro, section = "# New\n", "## b: title\n\nnew\n"
	for name, tc := range map[string]struct{ document, want string }{
		"empty":    {"", "# New\n\n## b: title\n\nnew\n"},
		"added":    {"# Old\n\n## a: x\n\none\n", "# New\n\n## a: x\n\none\n\n## b: title\n\nnew\n"},
		"replaced": {"# Old\n\n## a: x\n\none\n\n## b: y\n\ntwo\n\n## c: z\n\nthree\n", "# New\n\n## a: x\n\none\n\n## b: title\n\nnew\n\n## c: z\n\nthree\n"},
		"last":     {"# Old\n\n## b: y\n\ntwo", "# New\n\n## b: title\n\nnew\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := withSection(tc.document, intro, "b", section)
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if again := withSection(got, intro, "b", section); again != got {
				t.Errorf("a second time it is %q", again)
			}
		})
	}
}
