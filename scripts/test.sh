#!/usr/bin/env bash
# usage: test.sh
# Runs all tests of all modules, with the race detector, in random order. The
# programs that the tests use are installed first if possible (install.sh). If
# not, the tests that need them are skipped; with CI=true they fail.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# any PROGRAM...: whether one of them is there.
any() {
	local program
	for program; do
		if command -v "$program" >/dev/null; then return 0; fi
	done
	return 1
}

packages=() skipped=()
need() { # PACKAGES, and what is not tested without them
	read -ra names <<<"$1"
	packages+=("${names[@]}")
	skipped+=("$1: $2")
}

# look lists what is missing.
look() {
	packages=() skipped=()
	# On macOS the race detector needs no C compiler.
	if [ "$(go env GOOS)" != darwin ]; then
		any "$(go env CC)" || need "gcc libc6-dev" "the race detector, all tests run without it"
	fi
	any redis-server || need redis-server "redislimiter against a real Redis"
	{ any prometheus && any promtool; } || need prometheus "alerts and dashboard of oteltimpush/stack"
	any chromium chromium-browser google-chrome || need chromium "the page of timpush serve"
	any initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need postgresql "the examples of dispatch"
}

look
if ((${#packages[@]} > 0)); then
	echo "test: missing: ${packages[*]}"
	if bash scripts/install.sh "${packages[@]}"; then look; fi
fi

race=-race
if ((${#skipped[@]} > 0)); then
	echo "test: cannot be installed from here, so these are NOT TESTED:"
	printf '  %s\n' "${skipped[@]}"
	if [ "${CI:-}" = true ]; then exit 1; fi
	[[ "${skipped[0]}" != gcc* ]] || race=-race=false
fi
# The linters include vet. The tests of cmd/timpush start the tool 1,900 times, those of redislimiter run in real time, and those of dispatch
# wait for servers of their own, with deadlines. They run one after the other, and after the rest: else each would take the processor of the others.
list="$(go list work | grep -vE '/(redislimiter|dispatch|cmd/timpush$)')"
read -ra others <<<"${list//$'\n'/ }"
status=0
go test "$race" -vet=off -shuffle=on "${others[@]}" || status=$?
go test "$race" -vet=off -shuffle=on ./cmd/timpush || status=$?
go test "$race" -vet=off -shuffle=on ./redislimiter/... || status=$?
go test "$race" -vet=off -shuffle=on -p 1 -parallel 1 ./dispatch/... || status=$?
exit "$status"
