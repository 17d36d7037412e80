#!/usr/bin/env bash
# usage: api.sh [-write]
# Compares what `go doc -all` says of each published package, without the comments,
# with the record in the folder api, or writes the record. A name that leaves the
# record must be in the first section of CHANGELOG.md, once there has been a release.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
now=$(mktemp -d)
trap 'rm -rf "$now"' EXIT

# "Has unexported fields" is no comment: it stands for what is not shown.
declarations() {
	go doc -all "$1" | sed -n '/^[A-Z][A-Z]*$/,$p' |
		sed -E '/^    /d; /\/\/ Has unexported/!s|[[:space:]]*// .*||' | sed -E '/^[[:space:]]*$/d'
}

# All names: functions, types, constants, variables, and Type.Member of methods and fields.
names() {
	cat "$1"/*.txt | awk '
		/^func \(/ { sub(/^func \([^)]*[ *]/, ""); sub(/\[[^]]*\]/, ""); sub(/\) /, "."); sub(/[[(].*/, ""); print; next }
		/^(func|type|const|var) [A-Z]/ { name = $2; sub(/[[(].*/, "", name); print name; type = "" }
		/^type .*\{$/ { type = name "." }
		/^[})]/ { type = "" }
		/^\t[A-Z]/ { sub(/^\t/, ""); sub(/[ (\t].*$/, ""); sub(/,$/, ""); print type $0 }' | sort -u
}

go list -f '{{if ne .Name "main"}}{{.Name}} {{.ImportPath}}{{end}}' github.com/timpush/timpush-go/... >"$now/packages"
while read -r name path; do
	case $path/ in */internal/* | */examples/* | */tools/* | */benchmarks/* | */stack/*) continue ;; esac
	declarations "$path" >"$now/$name.txt"
done <"$now/packages"

# Before the first release no program can break.
if (($(grep -c '^## ' CHANGELOG.md) > 1)); then
	unreleased=$(awk '/^## /{ sections++ } sections == 1' CHANGELOG.md)
	gone=$(comm -23 <(names api) <(names "$now") | while read -r name; do grep -qw -- "${name#*.}" <<<"$unreleased" || echo "$name"; done)
	if [ -n "$gone" ]; then
		echo "api: CHANGELOG.md does not name what is gone, which breaks programs:" $gone
		exit 1
	fi
fi

if [ "${1:-}" = -write ]; then
	rm -f api/*.txt
	cp "$now"/*.txt api/
elif ! diff -ru --exclude=packages api "$now"; then
	echo "api: the exported API differs from its record as shown: make api-record"
	exit 1
fi
