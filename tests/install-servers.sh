#!/usr/bin/env bash
# Installs the servers and clients that the tests use and this machine lacks: as root on Debian only. Elsewhere the
# tests that need a missing one skip with a reason (under CI=true such a skip is a failure).
set -u
declare -A package=([curl]=curl [node]=nodejs [chromium]=chromium)
missing=()
for command in "${!package[@]}"; do
    command -v "$command" >/dev/null 2>&1 || missing+=("${package[$command]}")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed: ${missing[*]} (tests that need them are skipped)"
    exit 0
fi
[[ " ${missing[*]} " == *" chromium "* ]] && missing+=(fonts-dejavu-core)
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
