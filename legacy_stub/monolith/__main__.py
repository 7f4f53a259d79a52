"""``python -m legacy_stub.monolith``: serve the shop; the first line printed is its URL."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from legacy_stub.monolith.app import create_app
from legacy_stub.serving import arguments, serve


def main() -> int:
    """Parse the options and serve; the exit code."""
    parser = arguments("The demo's monolith: a whole shop.", latency_ms="3-12")
    parser.add_argument("--database", help="SQLite file, made and filled if it is new (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shop-") as folder:
        path = options.database or str(Path(folder) / "shop.db")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return serve(create_app(path, options.latency), options.host, options.port)


if __name__ == "__main__":
    sys.exit(main())
