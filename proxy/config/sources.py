"""Which files make up a configuration, and a cheap way to see that they changed.

Law: looking costs one ``stat`` per file and never raises; reading is the loader's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".yaml", ".yml")


def yaml_files(path: Path) -> list[Path]:
    """The YAML files of a folder by name, without hidden ones and those in folders below; or the one file itself."""
    if path.exists() and not path.is_dir():  # also a pipe: `banyan check <(...)`
        return [path]
    try:
        return sorted(
            file
            for file in path.iterdir()
            if file.suffix in SUFFIXES and not file.name.startswith(".") and not file.is_dir()
        )
    except OSError:
        return []


def fingerprint(path: Path, more: Iterable[Path] = ()) -> str:
    """Identity of what the files hold, by name, size, time and inode; ``more`` are files they name (``Loaded.files``).

    It changes when a file is written, replaced, added or removed; compare it from time to time and load when it does.
    """
    digest = hashlib.sha256()
    for file in sorted({*yaml_files(path), *more}):
        try:
            stat = file.stat()
            line = f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\0{stat.st_dev}\n"
        except OSError:
            line = f"{file}\0gone\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
