#!/usr/bin/env bash
# usage: install.sh PACKAGE...
# Installs Debian packages, as root or by a sudo that asks for no password.
# Where that is not possible it changes nothing and fails.
set -euo pipefail

if (($# == 0)); then exit 0; fi
command -v apt-get >/dev/null || exit 1
sudo=()
if ((EUID != 0)); then
	sudo -n true 2>/dev/null || exit 1
	sudo=(sudo -n)
fi
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
