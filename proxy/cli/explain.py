"""``banyan explain``: what would become of one request, and why."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from urllib.parse import quote, urlsplit

import click

from proxy.config.load import load
from proxy.core.explain import Explanation
from proxy.core.explain import explain as explain_request
from proxy.core.fields import shape_of
from proxy.core.request import Request
from proxy.core.snapshot import build_snapshot
from proxy.errors import BanyanError, ExchangeError


@click.command()
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, metavar="'K: V'", help="A header of the request; repeatable.")
@click.option("--path", type=click.Path(path_type=Path), default=Path("routes"), help="Configuration; default: routes.")
@click.option("--json", "as_json", is_flag=True, help="Print one object instead of text.")
def explain(method: str, url: str, headers: tuple[str, ...], path: Path, as_json: bool) -> None:
    """Say which route, stage and arm a request METHOD URL would get, and why; and why not the other routes.

    URL is whole, or a path with its query. Overrides of a running Banyan are not known here.

    \b
    Example:
      banyan explain GET /api/orders/7 -H 'X-User-Id: u-17'
    """
    request = request_of(method, url, headers)
    snapshot = build_snapshot(load(path, os.environ).settings, generation=1)
    try:
        explanation = explain_request(snapshot, request)
    except ExchangeError:
        raise BanyanError(
            f"{request.path.decode('latin-1')} could be read in two ways, and ambiguous_paths is reject: 400"
        ) from None
    click.echo(json.dumps(dataclasses.asdict(explanation), indent=2) if as_json else _text(request, explanation))


def request_of(method: str, url: str, headers: tuple[str, ...]) -> Request:
    """The request that the words describe. Raises click.BadParameter for a header without a colon or a bad URL."""
    fields = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{header!r} is not a header; write it like 'X-User-Id: u-17'", param_hint="-H")
        fields.append((name.strip().encode("utf-8"), value.strip().encode("utf-8")))
    lower: dict[bytes, bytes] = {}
    for raw_name, raw_value in fields:
        lower.setdefault(raw_name.lower(), raw_value)
    # Clients send other characters percent-encoded and keep what is encoded already; the rest goes as it is.
    target = quote(url.partition("#")[0], safe="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    host = lower.get(b"host", b"").decode("latin-1")
    if "://" in url.partition("?")[0]:
        try:
            host = urlsplit(url).netloc.rpartition("@")[2]
        except ValueError as error:
            raise click.BadParameter(f"{url!r}: {error}", param_hint="URL") from None
        rest = target.partition("://")[2]
        begin = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        target = rest[begin:]
        target = target if target.startswith("/") else f"/{target}"
    elif not target.startswith("/") and target != "*":
        raise click.BadParameter(f"{url!r} is neither a URL nor a path that begins with a slash", param_hint="URL")
    name = host.lower()
    if not name.endswith("]"):
        without_port, colon, port = name.rpartition(":")
        name = without_port if colon and port.isdigit() else name
    request = Request(method.upper(), target.encode("ascii"), name, fields, lower)
    request.kinds = shape_of(tuple(lower)).kinds
    return request


def _text(request: Request, explanation: Explanation) -> str:
    route = explanation.route or "none"
    lines = [f"{request.method} {request.target.decode('ascii')}", f"  route     {route}"]
    if explanation.stage is not None:
        lines.append(f"  stage     {explanation.stage}: {explanation.stage_means}")
    lines.append(f"  arm       {explanation.arm}, answered by {explanation.upstream}")
    lines.append(f"  why       {explanation.reason}: {explanation.why}")
    user = explanation.user or "unknown"
    if explanation.bucket is not None:
        user += f", bucket {explanation.bucket} of 100"
    lines += [f"  user      {user}", f"  shadow    {explanation.shadow}", f"  fallback  {explanation.fallback}"]
    if explanation.others:
        width = max(len(other.route) for other in explanation.others)
        lines.append("the other routes, highest precedence first:")
        lines += [f"  {other.route.ljust(width)}  {other.why}" for other in explanation.others]
    return "\n".join(lines)
