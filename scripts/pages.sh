#!/usr/bin/env bash
# usage: pages.sh FOLDER
# Writes the manual pages and the shell completions of the tool into a folder, for the archives of a release.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$1
rm -rf "$folder"
mkdir -p "$folder/man" "$folder/completions"
tool=$folder/timpush
go build -o "$tool" ./cmd/timpush
"$tool" man "$folder/man"
"$tool" completion bash >"$folder/completions/timpush.bash"
"$tool" completion zsh >"$folder/completions/_timpush"
"$tool" completion fish >"$folder/completions/timpush.fish"
"$tool" completion powershell >"$folder/completions/timpush.ps1"
rm "$tool"
