#!/usr/bin/env bash
# usage: cluster/start.sh FOLDER
# Starts three servers on loopback, ports 4221 to 4223, with their data below FOLDER, and stops them when it ends.
# With nats-server in the path it takes that one, else it builds the version that this module is tested with.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
server=$(command -v nats-server || true)
if [ -z "$server" ]; then
	GOBIN="$folder" GOWORK=off go install github.com/nats-io/nats-server/v2@v2.15.2
	server="$folder/nats-server"
fi

servers=()
stop() {
	if [ ${#servers[@]} -gt 0 ]; then kill "${servers[@]}" 2>/dev/null || true; fi
	wait
}
trap stop EXIT
trap 'exit 0' INT TERM
for n in 1 2 3; do
	NAME=server$n PORT=422$n CLUSTER_PORT=622$n FOLDER="$folder/$n" "$server" -c "$here/server.conf" >"$folder/$n.log" 2>&1 &
	servers+=($!)
done
echo "nats://127.0.0.1:4221,nats://127.0.0.1:4222,nats://127.0.0.1:4223"
wait
