#!/usr/bin/env bash
# Installs the servers and clients that the tests use and this machine lacks: as root on Debian only. Elsewhere, and when
# a package cannot be had, the tests that need it skip with a reason (under CI=true they fail instead), so this script
# itself never stops a run.
set -u
PATH=$PATH:/usr/sbin # where dnsmasq is, on no ordinary user's path
declare -A package=([curl]=curl [node]=nodejs [chromium]="chromium fonts-dejavu-core" [dnsmasq]=dnsmasq-base)
missing=()
for command in "${!package[@]}"; do
    command -v "$command" >/dev/null 2>&1 || missing+=("$command")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed: ${missing[*]} (tests that need them are skipped)"
    exit 0
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get update -qq >"$log" 2>&1 || tail -n 3 "$log"
for command in "${missing[@]}"; do
    # unquoted on purpose: a command may need several packages
    # shellcheck disable=SC2086
    if ! apt-get install -y -qq --no-install-recommends ${package[$command]} >"$log" 2>&1; then
        tail -n 3 "$log"
        echo "could not install $command (tests that need it are skipped)"
    fi
done
exit 0
