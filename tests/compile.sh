#!/usr/bin/env bash
# Compiles the traffic path into the folder $2 with the Python in $1: a whole wheel, unpacked. As root on Debian it
# installs the compiler that is missing; elsewhere a missing one leaves the folder without the package, so that tests and
# benchmark run interpreted, and under CI=true that is a failure.
set -u
bin=$1 target=$2
if ! command -v cc >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing gcc"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev; } >/dev/null 2>&1
fi
rm -rf build  # also what an earlier build left: setuptools would pack it again
mkdir -p "$target"
if ! command -v cc >/dev/null 2>&1; then
    echo "no C compiler: the traffic path stays interpreted"
    touch "$target/.stamp"
    [ "${CI:-}" != true ]
    exit
fi
set -e
echo "compiling the traffic path (about a minute)"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
BANYAN_COMPILE=1 "$bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w "$wheels" .
"$bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$target" "$wheels"/*.whl
touch "$target/.stamp"
