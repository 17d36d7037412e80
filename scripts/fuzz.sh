#!/usr/bin/env bash
# usage: fuzz.sh FUZZTIME
# Runs every fuzz target of all modules for FUZZTIME, one at a time, because
# go test -fuzz takes one target of one package only. The targets are listed
# rather than named here: a new one cannot be forgotten. Nothing is minimized:
# by default that takes up to 60 s for an input that merely is interesting, which
# is most of a short run. A failing input is kept in testdata/fuzz all the same.
set -euo pipefail

time=$1
count=0
packages=$(go list work)
for package in $packages; do
	targets=$(go test -list '^Fuzz' "$package" | awk '/^Fuzz/')
	for target in $targets; do
		echo "fuzz: $target in $package"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 0s "$package"
		count=$((count + 1))
	done
done
if ((count == 0)); then
	echo "fuzz: no fuzz target found" >&2
	exit 1
fi
echo "fuzz: $count targets, $time each, no failing input"
