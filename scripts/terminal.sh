#!/usr/bin/env bash
# usage: terminal.sh PICTURE.svg
# Records `timpush set-attr` on a terminal of tmux, against `timpush serve`, and
# writes what is seen while it runs, and in the end, as a picture. Needs tmux.
set -euo pipefail

picture=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dir=$(mktemp -d)
socket="$dir/tmux"
serve=
clean() {
	tmux -S "$socket" kill-server 2>/dev/null || true
	if [ -n "$serve" ]; then kill "$serve" 2>/dev/null || true; fi
	rm -rf "$dir"
}
trap clean EXIT

(cd cmd/timpush && go build -o "$dir/timpush" .)
cd "$dir"
# 60,000 users, of whom some cannot be sent: two have no account, one a long city.
awk 'BEGIN {
	print "To_Account,city,level"
	for (i = 1; i <= 60000; i++)
		print (i == 7 || i == 22222 ? "" : "user" i) "," (i == 31415 ? "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch" : "Rome") "," i % 50
}' >users.csv

HOME=$dir ./timpush serve --listen 127.0.0.1:0 --names city,level --latency 150ms --jitter 50ms >settings.sh 2>serve.log &
serve=$!
until grep -q SECRET_KEY settings.sh; do sleep 0.1; done

seen() { tmux -S "$socket" capture-pane -p; }
waitfor() { # until a text is seen, for 20 s at most
	for _ in $(seq 200); do
		if seen | grep -q "$1"; then return; fi
		sleep 0.1
	done
	echo "terminal.sh: not seen: $1" >&2
	exit 1
}

tmux -S "$socket" -f /dev/null new-session -d -x 82 -y 24 "HOME=$dir PATH=$dir:$PATH PS1='\$ ' bash --norc --noprofile"
tmux -S "$socket" send-keys ". ./settings.sh; clear" Enter
waitfor '^\$ *$'
tmux -S "$socket" send-keys "timpush set-attr users.csv" Enter
waitfor ' 5[0-9]% \['
seen >while.txt
waitfor 'most frequent reasons'
waitfor '^\$ *$'
seen >end.txt

awk -v size=15 '
	function escape(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); return s }
	FNR == 1 { title[++frames] = FILENAME == "while.txt" ? "while it runs" : "in the end" }
	/[^ $]/ { text[frames, ++lines[frames]] = escape($0) }
	END {
		height = 20
		for (f = 1; f <= frames; f++) height += (lines[f] + 2) * 20
		printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 %d\" role=\"img\" aria-label=\"timpush set-attr on a terminal\">\n", height
		print "<style>text{font:" size "px ui-monospace,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;white-space:pre;fill:#1b1f24}.back{fill:#f3f5f8}.title{fill:#57606a;font-style:italic}"
		print "@media(prefers-color-scheme:dark){text{fill:#e7ebf0}.back{fill:#1b2129}.title{fill:#a4afbb}}</style>"
		printf "<rect class=\"back\" width=\"780\" height=\"%d\" rx=\"8\"/>\n", height
		y = 10
		for (f = 1; f <= frames; f++) {
			printf "<text class=\"title\" x=\"16\" y=\"%d\">%s</text>\n", y += 20, title[f]
			for (i = 1; i <= lines[f]; i++)
				printf "<text x=\"16\" y=\"%d\" textLength=\"%.1f\">%s</text>\n", y += 20, width(text[f, i]), text[f, i]
			y += 20
		}
		print "</svg>"
	}
	function width(s) { gsub(/&[a-z]+;/, "x", s); return length(s) * size * 0.6 }
' while.txt end.txt >"$picture"

key=$(sed -n 's/^export TIMPUSH_SECRET_KEY=//p' settings.sh)
if grep -qF "$key" "$picture"; then
	echo "terminal.sh: the secret key is in the picture" >&2
	exit 1
fi
