"""The coverage end to end: what nobody compares is listed, and is not any more once it was compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from faults import Background
from running import Banyan, Setup, ask, eventually
from scripted import Message, Upstream, ok

ROUTE = """\
  - id: shop
    match: {path_prefix: /shop}
    candidate: orders
    stage: shadow
    shadow: {sample: 0%}
    compare: {noise: {sample: 0%}}
"""
JSON = "Content-Type: application/json"


def answer(message: Message) -> bytes:
    if message.method == b"POST":
        return ok(b'{"id":7,"card":"4111 1111 1111 1111"}', JSON, status="201 Created")
    if message.target.endswith(b"?empty=1"):
        return ok(b"[]", JSON)
    extra = b',"refund":{"at":"now"}' if message.target.endswith(b"9") else b""
    return ok(b'{"id":1,"items":[{"sku":"a","price":1.5}]' + extra + b"}", JSON)


def traffic(banyan: Banyan) -> None:
    for number in (10, 11, 12, 13, 19):
        assert ask(f"{banyan.url}/shop/orders/{number}").status == 200
    assert ask(f"{banyan.url}/shop/orders?empty=1").status == 200
    made = ask(f"{banyan.url}/shop/orders", "POST", {"sku": "a", "password": "hunter2-hunter2"})
    assert made.status == 201


def coverage(banyan: Banyan) -> Any:
    return ask(banyan.admin + "/api/routes/shop/coverage").json()


def recorded(banyan: Banyan) -> list[Any]:
    found: list[Any] = ask(banyan.admin + "/api/routes/shop/requests").json()["requests"]
    return found


def command(banyan: Banyan, *words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "proxy", "coverage", *words, "--admin", banyan.admin],
        capture_output=True, text=True, timeout=30, env={**os.environ},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_what_was_never_compared_is_listed_until_it_is(tmp_path: Path, background: Background) -> None:
    legacy, candidate = (background.enter(Upstream(answer)) for _ in range(2))
    setup = Setup(tmp_path)
    try:
        setup.write(more=ROUTE, legacy=legacy.url, candidate=candidate.url)
        banyan = setup.start()
        assert coverage(banyan)["share"] is None
        assert "answered no request" in command(banyan, "shop")

        traffic(banyan)
        found = eventually(lambda: (c := coverage(banyan))["seen"] == 7 and sum(map(looked_at, c["cells"])) == 7 and c)
        assert (found["share"], found["compared"]) == (0, 0)
        assert [lack["words"] for lack in found["never"]] == [
            "GET /shop/orders/{} -> 200 json",
            "GET /shop/orders with empty -> 200 json",
            "POST /shop/orders -> 201 json",
        ]
        shapes = {shape["shape"]: shape["seen"] for shape in found["cells"][0]["shapes"]}
        assert shapes == {
            "{id: number, items[{price: number, sku: string}]}": 4,
            "{id: number, items[{price: number, sku: string}], refund{at: string}}": 1,
        }
        assert "Never compared:" in command(banyan, "shop")

        records = eventually(lambda: len(r := recorded(banyan)) == 7 and r)
        write = next(record for record in records if record["request"]["method"] == "POST")
        assert (write["cell"]["endpoint"], write["shape"]) == ("/shop/orders", "{card: string, id: number}")
        assert (write["masked"], write["partial"]) == (True, False)
        assert json.loads(write["request"]["body"]["text"])["sku"] == "a"
        assert "hunter2" not in json.dumps(records)
        assert "4111" not in json.dumps(records)

        setup.alter("shadow: {sample: 0%}", "shadow: {sample: 100%}")
        assert ask(banyan.admin + "/api/reload", "POST", {}).status == 200
        traffic(banyan)
        found = eventually(lambda: (c := coverage(banyan))["compared"] == 6 and not shapes_missing(c) and c)
        assert found["share"] == 12 / 14
        assert [lack["words"] for lack in found["never"]] == ["POST /shop/orders -> 201 json"]
        assert json.loads(command(banyan, "shop", "--json"))["share"] == 12 / 14
        assert "86 %" in command(banyan, "shop") or "85.7 %" in command(banyan, "shop")

        verdicts = banyan.route("shop")["verdicts"]  # what was only looked at has none
        assert verdicts == {"matched": 6, "ignored": 0, "mismatched": 0, "incomparable": 0}
    finally:
        setup.close()


def test_pairs_that_could_not_be_compared_cover_nothing(tmp_path: Path, background: Background) -> None:
    def deep(message: Message) -> bytes:
        return ok(b"[" * 5000 + b"]" * 5000 if message.target.endswith(b"/deep") else answer(message)[-9:], JSON)

    legacy, candidate = background.enter(Upstream(answer)), background.enter(Upstream(deep))
    setup = Setup(tmp_path)
    try:
        setup.write(more=ROUTE.replace("0%", "100%", 1), legacy=legacy.url, candidate=candidate.url)
        banyan = setup.start()
        for path in ("deep", "shallow") * 3:
            assert ask(f"{banyan.url}/shop/{path}").status == 200
        found = eventually(lambda: (c := coverage(banyan))["compared"] == 3 and c)
        assert {cell["endpoint"]: (cell["seen"], cell["compared"]) for cell in found["cells"]} == {
            "/shop/deep": (3, 0),
            "/shop/shallow": (3, 3),
        }
        assert banyan.route("shop")["verdicts"]["incomparable"] == 3
        assert found["share"] == 0.5
        assert [lack["words"] for lack in found["never"]] == ["GET /shop/deep -> 200 json"]
    finally:
        setup.close()


def looked_at(cell: Any) -> int:
    return sum(shape["seen"] for shape in cell["shapes"])


def shapes_missing(found: Any) -> bool:
    return any(lack["shape"] for lack in found["never"])


def test_an_unknown_route_has_no_coverage(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    try:
        banyan = setup.start()
        for path in ("coverage", "requests"):
            assert ask(f"{banyan.admin}/api/routes/no-such/{path}").status == 404
            assert ask(f"{banyan.admin}/api/routes/orders-read/{path}?hours=0&limit=0").status == 400
    finally:
        setup.close()
