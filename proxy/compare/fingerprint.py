"""Identity of a kind of difference.

Law: the same route, kind and path template have the same fingerprint in every process and release.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache


@lru_cache(maxsize=4096)
def fingerprint(route: str, kind: str, path: str) -> str:
    """Twelve hexadecimal digits for (route, kind, path template)."""
    text = f"{route}\x00{kind}\x00{path}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=6).hexdigest()
