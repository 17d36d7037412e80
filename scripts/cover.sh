#!/usr/bin/env bash
# usage: cover.sh PACKAGE MINIMUM
# Fails if the tests of PACKAGE cover less than MINIMUM per cent of its own
# statements. The profile decides, not the rounded figure that go test prints.
set -euo pipefail

package=$1 minimum=$2
mkdir -p .bin
profile=.bin/cover.out

go test -shuffle=on -coverprofile="$profile" "$package"
awk -v package="$package" -v minimum="$minimum" '
	NR > 1 { all += $2; if ($3 > 0) covered += $2 }
	END {
		if (all == 0) { print "cover: " package " has no statements"; exit 1 }
		percent = 100 * covered / all
		printf "cover: %s %.2f %%, at least %s %% wanted\n", package, percent, minimum
		exit percent < minimum
	}' "$profile"
