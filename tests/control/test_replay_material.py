"""What a replay is given: bounded, without a key, with what is expected."""

from __future__ import annotations

import json
from typing import Any

from running import Banyan, Setup, ask, eventually

from proxy.control.replay import _within

SECRETS = 'redaction: {keys: ["${REDACTION_KEY}"], names: [voucher], reveal: [locale]}\n'
RULES = "defaults: {compare: {ignore: [$.at], match: {$.id: {timestamp: 250ms}}}}\n"


def recorded(size: int) -> dict[str, Any]:
    return {"request": {"body": {"text": "r" * size}}, "legacy": {"body": {"text": None}}}


def test_no_more_bodies_than_there_is_room_for() -> None:
    three = [recorded(10), recorded(10), recorded(10)]
    assert [len(_within(three, room)) for room in (9, 10, 20, 30, 31)] == [0, 1, 2, 3, 3]
    assert _within([], 0) == []


def test_the_material_is_all_that_a_replay_needs_and_holds_no_key(setup: Setup) -> None:
    setup.write(more=SECRETS + RULES)
    banyan: Banyan = setup.start(environ={"REDACTION_KEY": "a key of many characters"})

    def given(**query: int) -> Any:
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return ask(f"{banyan.admin}/api/routes/orders-read/replay?{words}").json()

    for order in range(3):
        ask(f"{banyan.url}/orders/{order}", headers={"Authorization": "Bearer hunter2hunter2"})
    found = eventually(lambda: (now := given())["requests"] and now)
    assert found["compare"] == {"ignore": ["$.at"], "match": {"$.id": {"timestamp": "0.250000000s"}}}
    assert found["redaction"] == {"emails": False, "names": ["voucher"], "reveal": ["locale"]}
    assert (found["expected"], found["no_room"]) == ([], 0)
    one = found["requests"][0]
    assert len(one["redaction_key"]) == 6
    assert one["legacy"]["status"] == 200
    text = json.dumps(found)
    assert "hunter2" not in text
    assert "a key of many characters" not in text
    (difference,) = eventually(lambda: ask(f"{banyan.admin}/api/diffs").json()["diffs"])
    accepted = {"reason": "as agreed"}
    ask(f"{banyan.admin}/api/diffs/{difference['fingerprint']}/accept", "POST", accepted)
    assert given()["expected"] == [["type", "$.total"]]
    assert eventually(lambda: (now := given(limit=1)["recorded"])["requests"] == 3 == now["answered"])
    one_kind = given(limit=1)
    assert len(one_kind["requests"]) == 1
    assert one_kind["recorded"] == {"requests": 3, "kinds": 1, "answered": 3}
    assert ask(f"{banyan.admin}/api/routes/orders-raed/replay").status == 404
    assert ask(f"{banyan.admin}/api/routes/orders-read/replay?limit=501").status == 400
