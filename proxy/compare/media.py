"""Which reader reads which media type.

Law: one table; a media type that stands in none of its lines is bytes, and bytes are only ever compared as bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

Reader = Literal[
    "json", "lines", "html", "xml", "form", "multipart", "csv", "tsv", "events", "text", "image", "bytes", "unknown"
]

_READERS: dict[str, Reader] = {
    "": "unknown",
    "application/json": "json", "text/json": "json", "application/csp-report": "json",
    "application/x-json": "json", "application/manifest+json": "json",
    "application/x-ndjson": "lines", "application/ndjson": "lines", "application/jsonl": "lines",
    "application/jsonlines": "lines", "application/x-jsonlines": "lines", "application/json-seq": "lines",
    "application/json-lines": "lines", "application/jsonlines+json": "lines",
    "text/html": "html", "application/xhtml+xml": "html",
    "application/xml": "xml", "text/xml": "xml", "application/xml-external-parsed-entity": "xml",
    "application/x-www-form-urlencoded": "form",
    "text/csv": "csv", "application/csv": "csv", "text/tab-separated-values": "tsv",
    "text/event-stream": "events",
    "application/javascript": "text", "application/x-javascript": "text", "application/ecmascript": "text",
    "application/yaml": "text", "application/x-yaml": "text", "application/graphql": "text", "application/sql": "text",
    "application/toml": "text", "application/x-sh": "text", "application/pem-certificate-chain": "text",
    "image/png": "image", "image/gif": "image", "image/jpeg": "image", "image/webp": "image",
}  # fmt: skip

UNSTRUCTURED = frozenset({"text", "image", "bytes"})
"""Readers of media in which other bytes say other things: there is no second way to write the same."""


@lru_cache(maxsize=512)
def reader_of(media: str) -> Reader:
    """The reader of a media type (in lower case, without parameters)."""
    known = _READERS.get(media)
    if known is not None:
        return known
    if media.endswith("+json-seq"):
        return "lines"
    if media.endswith("+json"):
        return "json"
    if media.endswith("+xml"):
        return "xml"
    if media.startswith("multipart/"):
        return "multipart"
    return "text" if media.startswith("text/") else "bytes"
