"""The small words of the configuration: durations, sizes, shares, names, addresses.

Law: each is text with one spelling, checked where it is read; a message says what was found and how to write it. What
is not text (a list where a duration belongs) is named by its kind and not shown.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_UNITS_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]*):[0-9]{1,5}")
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_HOST = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
MAX_WORKERS = 256
ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""Names of routes, upstreams and cohorts: they are metric labels, URL segments and file names at once."""


def _shown(value: object) -> str:
    """A value as a message shows it: text and numbers, cut; of everything else only the kind."""
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:77] + "...")
    kinds = {bool: "true or false", type(None): "nothing", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), str(value))


def parse_duration(value: object) -> object:
    """``250ms``, ``2s``, ``1m``, ``1h``, ``7d`` -> seconds. Raises ValueError on anything else."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        return float(match[1]) * _UNITS_SECONDS[match[2]]
    raise ValueError(f"{_shown(value)} is not a duration; write it like 250ms, 2s, 1m or 1h")


def parse_size(value: object) -> object:
    """``512B``, ``64KiB``, ``1MiB`` -> bytes. Raises ValueError on anything else."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return int(match[1]) * _UNITS_BYTES[match[2]]
    raise ValueError(f"{_shown(value)} is not a size; write it like 512B, 64KiB or 1MiB")


def parse_share(value: object) -> object:
    """``5%`` -> 0.05. Raises ValueError on anything else and above 100 %."""
    if isinstance(value, str) and (match := _SHARE.fullmatch(value)) and float(match[1]) <= 100:
        return float(match[1]) / 100
    raise ValueError(f"{_shown(value)} is not a share; write it like 5% (at most 100%)")


def parse_percent(value: object) -> object:
    """``10%`` -> 10: whole percents only, because buckets are whole. Raises ValueError on anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}%", value) and int(value[:-1]) <= 100:
        return int(value[:-1])
    raise ValueError(f"{_shown(value)} is not a whole percentage; write it like 10% (0% to 100%)")


def parse_status_range(text: str) -> tuple[int, int]:
    """``200`` or ``200-399`` -> (first, last). Raises ValueError on anything else."""
    match = _STATUSES.fullmatch(text)
    if match and int(match[1]) <= int(match[2] or match[1]):
        return int(match[1]), int(match[2] or match[1])
    raise ValueError(f"{_shown(text)} is no status; write it like 200 or 200-399")


def spelled(value: float, like: str) -> str:
    """A parsed value as people write it: 1.0 like ``250ms`` is ``1s``, like ``64KiB`` ``1B``, like ``5%`` ``100%``.

    Percents (like ``10%``) are whole numbers already.
    """
    if like.endswith("ms"):
        for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
            if value >= seconds and value % seconds == 0:
                return f"{value / seconds:g}{unit}"
        return f"{value * 1000:g}ms" if value else "0s"
    if like.endswith("B"):
        for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if value >= size and value % size == 0:
                return f"{value / size:g}{unit}"
        return f"{value:g}B"
    return f"{value:g}%" if like == "10%" else f"{value * 100:g}%"


def _one_or_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _check_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value) or int(value.rsplit(":", 1)[1]) > 65535:
        raise ValueError(f"{_shown(value)} is not an address; write it like 127.0.0.1:8080 or [::1]:8080")
    return value


def _status_range(value: object) -> object:
    """Also a plain number: nobody puts quotes around a status."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        parse_status_range(value)
        return value
    raise ValueError(f"{_shown(value)} is no status; write it like 200 or 200-399")


def _check_host_name(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not the name of a host; write it like orders.shop.example")
    return value


def _check_port(value: object) -> object:
    if type(value) is int and 1 <= value <= 65535:
        return value
    if isinstance(value, str) and value and not value.isdigit():
        return value
    quotes = ", without quotes" if isinstance(value, str) and value else ""
    raise ValueError(f"write the name of a port, or its number from 1 to 65535{quotes}")


def _check_id(value: str) -> str:
    if not ID.fullmatch(value):
        raise ValueError(
            f"{_shown(value)} is not a name; use lower-case letters, digits, '-', '_' and '.', at most 64 of them"
        )
    return value


def _check_header_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not the name of a header (RFC 9110 section 5.1)")
    return value


def _check_method(value: str) -> str:
    if not _METHOD.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a method; methods are written in capitals")
    return value


def _check_workers(value: object) -> object:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_WORKERS):
        return value
    raise ValueError(f"write a number from 1 to {MAX_WORKERS}, or auto")


def _text(pattern: str, example: str) -> dict[str, Any]:
    # Editors see the file before ${NAME} is replaced.
    return {"type": "string", "pattern": rf"^(?:{pattern}|.*\$\{{.+\}}.*)$", "examples": [example]}


def _text_schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema(_text(pattern, example))


Duration = Annotated[float, BeforeValidator(parse_duration), _text_schema(_DURATION.pattern, "250ms")]
Size = Annotated[int, BeforeValidator(parse_size), _text_schema(_SIZE.pattern, "64KiB")]
Share = Annotated[float, BeforeValidator(parse_share), _text_schema(_SHARE.pattern, "5%")]
Percent = Annotated[int, BeforeValidator(parse_percent), _text_schema(r"[0-9]{1,3}%", "10%")]
Address = Annotated[str, BeforeValidator(lambda v: _check_address(v) if isinstance(v, str) else v)]
Name = Annotated[str, BeforeValidator(lambda v: _check_id(v) if isinstance(v, str) else v)]
HostName = Annotated[str, AfterValidator(_check_host_name)]
HeaderName = Annotated[str, AfterValidator(_check_header_name)]
Method = Annotated[str, AfterValidator(_check_method)]


Addresses = Annotated[
    list[Address],
    Field(min_length=1),
    BeforeValidator(_one_or_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


StatusRange = Annotated[
    str,
    BeforeValidator(_status_range),
    WithJsonSchema({"anyOf": [_text(_STATUSES.pattern, "200-399"), {"type": "integer", "minimum": 100}]}),
]
"""``200`` or ``200-399``, see :func:`parse_status_range`."""


PortName = Annotated[
    str | int,
    BeforeValidator(_check_port),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1, "maximum": 65535}]}),
]


Workers = Annotated[
    int | Literal["auto"],
    BeforeValidator(_check_workers),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_WORKERS}, {"const": "auto"}]}),
]
