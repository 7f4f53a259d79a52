#!/usr/bin/env bash
# Compiles the traffic path into the folder $2 with the Python in $1, beside the rest of the package. As root on
# Debian it installs the compiler or the headers that are missing; elsewhere the folder stays without the package then,
# so that tests and benchmark run interpreted, and under CI=true that is a failure.
set -u
bin=$1 target=$2
header=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
can_compile() { command -v cc >/dev/null 2>&1 && [ -e "$header" ]; }
if ! can_compile && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing gcc and Python's headers"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev; } >/dev/null 2>&1
fi
rm -rf build  # also what an earlier build left: setuptools would pack it again
mkdir -p "$target"
if ! can_compile; then
    echo "no C compiler, or no Python.h: the traffic path stays interpreted"
    touch "$target/.stamp"
    [ "${CI:-}" != true ]
    exit
fi
echo "compiling the traffic path (a minute or two)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! BANYAN_COMPILE=1 "$bin/python" setup.py --quiet build --build-base build/work --build-lib "$target" >"$log" 2>&1; then
    cat "$log"
    exit 1
fi
touch "$target/.stamp"
