#!/usr/bin/env bash
# usage: fuzz.sh FUZZTIME
# Runs every fuzz target of all modules for FUZZTIME, as many at a time as there are
# processors, with one worker each. The targets are found in the sources, so that none
# is forgotten; each package that has some is compiled once. Nothing is minimized: by
# default that takes up to 60 s for an input that is only interesting, which is most of
# a short run. A failing input is kept in testdata/fuzz.
set -euo pipefail

export time=$1
bin=$(mktemp -d)
corpus=$(go env GOCACHE)/fuzz # where go test -fuzz keeps interesting inputs
export bin corpus
trap 'rm -rf "$bin"' EXIT

targets=$(go list -f '{{range .TestGoFiles}}{{$.ImportPath}} {{$.Dir}} {{.}}
{{end}}{{range .XTestGoFiles}}{{$.ImportPath}} {{$.Dir}} {{.}}
{{end}}' work | while read -r package dir file; do
	[ -z "$package" ] || sed -nE "s|^func (Fuzz[A-Za-z0-9_]*)\(.*|$package $dir \1|p" "$dir/$file"
done)
if [ -z "$targets" ]; then
	echo "fuzz: no fuzz target found" >&2
	exit 1
fi
# Without -fuzz the binary has no instrumentation: a number of inputs is too few to be guided by coverage, and most
# of the time would go into compiling all dependencies once more.
instrumented=-fuzz=.
[[ $time != *x ]] || instrumented=-fuzz=
for package in $(cut -d ' ' -f 1 <<<"$targets" | sort -u); do
	go test -c "$instrumented" -o "$bin/${package//\//_}" "$package"
done

fuzz() { # PACKAGE FOLDER TARGET
	local output status=0
	cd "$2"
	output=$("$bin/${1//\//_}" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "$time" -test.fuzzminimizetime 0s \
		-test.parallel 1 -test.fuzzcachedir "$corpus/$1" 2>&1) || status=$?
	printf 'fuzz: %s in %s\n%s\n' "$3" "$1" "$(tail -n 40 <<<"$output")"
	return "$status"
}
export -f fuzz

xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 bash -c 'fuzz "$@"' fuzz <<<"$targets"
echo "fuzz: $(wc -l <<<"$targets" | tr -d ' ') targets, $time each, no failing input"
