#!/usr/bin/env bash
# usage: words.sh
# Fails if a tracked file has one of the words below, which have plainer equivalents.
# The history in CHANGELOG.md, inputs of fuzzing and checksums are exempt.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Not case-insensitive: http.NoBody is a name.
words='[Mm]end(s|ed|ing)?|[Nn]obody|[Ww]hat came of|[Ff]or ever|[Aa]new|[Aa]ll the same|[Ll]apse[sd]?|[Ll]apsing|[Hh]opeless(ly)?'
words+='|[Ss]trangers?|[Ff]ruitless(ly)?|[Hh]eed(s|ed|ing)?|[Ff]oresee(s|n|ing)?|[Ff]oresaw|[Rr]ipe|[Ss]tuff(s|ed|ing)|[Dd]oubt(s|ed|ing)'

# A clone may belong to another user; git then answers only with this.
status=0
git -c 'safe.directory=*' grep -nIwE "$words" -- ':!CHANGELOG.md' ':!*testdata/fuzz/*' ':!*.sum' ':!scripts/words.sh' || status=$?
case $status in
0) echo "words: replace the words found above" && exit 1 ;;
1) echo "words: none found" ;;
*) exit "$status" ;;
esac
