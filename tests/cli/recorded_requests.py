"""Recorded requests with whatever a hostile client can put into them."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from proxy.cli import again
from proxy.compare.masks import configured_key, mask

KEY = configured_key("a redaction key of 2026")
SECRET = mask("hunter2", KEY)
OTHER = mask("hunter3", KEY)
HOSTILE = [
    "'; touch pwned; '", "$(touch pwned)", "`touch pwned`", "${IFS}touch", '"', "\\", "\\'", "'", "a\nb", "a\r\nb",
    "\x1b[2J\x1b]0;x\x07", "é", "\U0001f600", "{{base_url}}", "{", "{{", "#", "@/etc/passwd", '"""', "'''", "\\N{DASH}",
    "```", "!!", "%s", "%", "\t", "\x7f", "\u202e", "~", "-o", "\\x41", "\\u{41}", "*", "[1-9]", "f'{1}'", "\x01",
]  # fmt: skip
words = st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
                                                    max_size=5), max_size=4).map("".join)  # fmt: skip
values = words.map(lambda text: re.sub(r"[\r\n]", "", text).strip())
header_names = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=10).filter(
    lambda name: name.lower() not in again._NOT_SENT and name.lower() not in ("accept-encoding", "te")
)
paths = words.map(lambda text: "/" + quote(text, safe="".join(map(chr, range(0x21, 0x7F)))).replace("#", "%23"))
many = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def record(
    method: str = "GET", target: str = "/orders/1", headers: list[list[str]] | None = None, body: str = "",
    kind: str = "text", status: int = 200, answer: Any = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    answered = json.dumps({"id": 1} if answer is None else answer)
    return {
        "route": "orders-read", "at": "2026-01-02T03:04:05.000Z", "kind": "value", "path": "$.id",
        "request": {
            "method": method, "target": target, "headers": headers or [], "cut": False,
            "body": {"kind": kind if body else "none", "bytes": len(body), "text": body, "cut": False},
        },
        "legacy": {
            "status": status, "failure": "", "seconds": 0.1, "headers": [["Content-Type", "application/json"]],
            "body": {"kind": "json", "bytes": len(answered), "text": answered, "cut": False},
        },
        **more,
    }  # fmt: skip
