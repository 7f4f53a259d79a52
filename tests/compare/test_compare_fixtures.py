"""Answers in the shape of public APIs', with the noise that two runs of one service have.

Without rules only the noise differs, and all of it is named; with good rules nothing does; and with the same rules each
planted regression is found, at its place, and nothing else with it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proxy.compare.result import Result
from proxy.messages import Answer

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
Found = set[tuple[str, str]]
FOLDER = Path(__file__).parent / "fixtures"
MEDIA = {
    "json": b"application/json", "html": b"text/html; charset=utf-8", "csv": b"text/csv", "xml": b"application/xml",
    "form": b"application/x-www-form-urlencoded", "events": b"text/event-stream",
}  # fmt: skip


class Case(NamedTuple):
    """``noise``: what differs between two runs. ``regressions``: (text in the second run, what it becomes, what is
    found)."""

    noise: Found
    rules: dict[str, Any]
    regressions: list[tuple[str, str, Found]]


LABELS = {"unordered": {"$[*].labels": "id"}}
CASES: dict[str, Case] = {
    "payments.json": Case(
        {
            ("value", "$.created"), ("value", "$.request_id"), ("value", "$.receipt_url"),
            ("value", "$.outcome.risk_score"),
        },
        {
            "match": {"$.created": {"timestamp": "5s"}, "$.request_id": "opaque"},
            "tolerance": {"$.outcome.risk_score": 5},
            "ignore": ["$.receipt_url"],
        },
        [
            ('"amount":2599', '"amount":2600', {("value", "$.amount")}),
            ('"amount":2599', '"amount":25.99', {("value", "$.amount")}),
            ('"amount":2599', '"amount":"2599"', {("type", "$.amount")}),
            ('"paid":true', '"paid":"true"', {("type", "$.paid")}),
            ('"email":null,', "", {("missing", "$.billing_details.email")}),
            ('"email":null', '"email":""', {("type", "$.billing_details.email")}),
            ('"has_more":false', '"has_more":true', {("value", "$.refunds.has_more")}),
            ('"created":1763632802', '"created":"2025-11-20T10:00:02Z"', {("format", "$.created")}),
            ('"created":1763632802', '"created":1763632802000', {("format", "$.created")}),
            ('"created":1763632802', '"created":1763632999', {("value", "$.created")}),
            ('"risk_score":14', '"risk_score":52', {("value", "$.outcome.risk_score")}),
            ('"request_id":"req_9Kd4Xc17PwV8"', '"request_id":null', {("type", "$.request_id")}),
            ('"data":[]', '"data":null', {("type", "$.refunds.data")}),
            ('"fraud_details":{},', "", {("missing", "$.fraud_details")}),
            ('"order":"1017"', '"order":"1017","trace":"x"', {("extra", "$.metadata.trace")}),
            ('"last4":"4242"', '"last4":4242', {("type", "$.payment_method_details.card.*")}),
        ],
    ),
    "code_hosting.json": Case(
        {
            ("value", "$[*].updated_at"), ("order", "$[*].labels"), ("value", "$[*].user.avatar_url"),
            ("value", "$[*].assignees[*].avatar_url"),
        },
        {**LABELS, "match": {"$[*].updated_at": {"timestamp": "1m"}}, "ignore": ["$..avatar_url"]},
        [
            ('"state": "closed"', '"state": "CLOSED"', {("value", "$[*].state")}),
            ('"comments": 3', '"comments": 4', {("value", "$[*].comments")}),
            ('"color": "0e8a16"', '"color": "#0e8a16"', {("value", "$[*].labels[*].color")}),
            ('"closed_at": null', '"closed_at": ""', {("type", "$[*].closed_at")}),
            ('10:00:03Z"', '10:00:03+00:00"', {("format", "$[*].updated_at")}),
            ('"assignees": []', '"assignees": null', {("type", "$[*].assignees")}),
            ("\\r\\n\\r\\nSee #39.", "\\n\\nSee #39.", {("value", "$[*].body")}),
            ('"total_count": 2, "+1": 2', '"total_count": 2, "+1": 1', {("value", "$[*].reactions.*")}),
            ('"id": 530112', '"id": 530112.0', {("type", "$[*].id")}),
        ],
    ),
    "maps.json": Case(
        {
            ("value", "$.results[*].geometry.location.lat"), ("value", "$.results[*].geometry.location.lng"),
            ("value", "$.results[*].geometry.viewport.northeast.lat"),
            ("value", "$.results[*].geometry.viewport.northeast.lng"),
            ("value", "$.results[*].geometry.viewport.southwest.lat"),
            ("value", "$.results[*].geometry.viewport.southwest.lng"), ("order", "$.results[*].types"),
            ("order", "$.results[*].address_components[*].types"), ("value", "$.results[*].photo"),
            ("value", "$.took_ms"),
        },
        {
            "tolerance": {"$..lat": 0.000001, "$..lng": 0.000001},
            "unordered": {"$..types": None},
            "ignore": ["$.results[*].photo"],
            "match": {"$.took_ms": "number"},
        },
        [
            ("47.0707146", "47.0717146", {("value", "$.results[*].geometry.location.lat")}),
            ("47.0707146", '"47.0707146"', {("type", "$.results[*].geometry.location.lat")}),
            ('"ROOFTOP"', '"APPROXIMATE"', {("value", "$.results[*].geometry.location_type")}),
            ('"types":["route"]', '"types":["street"]', {("value", "$.results[*].address_components[*].types[*]")}),
            ('"status":"OK"', '"status":"ZERO_RESULTS"', {("value", "$.status")}),
            ('"took_ms":23', '"took_ms":"23 ms"', {("format", "$.took_ms")}),
            ('"short_name":"Hauptpl."', '"short_name":"Hauptplatz"',
             {("value", "$.results[*].address_components[*].short_name")}),
        ],
    ),
    "shop.html": Case(
        {("order", "$.body.main[*].section#related.article"), ("value", "$.body.footer[*].p#served.#text")},
        {
            "unordered": {"$.body.main[*].section#related.article": "@data-sku"},
            "match": {"$..p#served.#text": {"regex": "Served by web-[0-9] in [0-9]+ ms"}},
        },
        [
            ("<b>129.00</b>", "<b>129,00</b>", {("value", "$.body.main[*].b[*].#text")}),
            ("<h1>Oak chair</h1>", "<h1>Oak Chair</h1>", {("value", "$.body.main[*].h1[*].#text")}),
            ("<h1>Oak chair</h1>", "<h2>Oak chair</h2>",
             {("missing", "$.body.main[*].h1"), ("extra", "$.body.main[*].h2")}),
            ('href="/chairs"', 'href="/chair"', {("value", "$.body.nav[*].a[*].@href")}),
            ("Cart (2)", "Cart (0)", {("value", "$.body.nav[*].a#cart-link.#text")}),
            (" incl.", " incl.", set()),
            ("<td>4<", "<td>5<", {("value", "$.body.main[*].table#stock.tr[*].td[*].#text")}),
            ("  wipe", " wipe", {("value", "$.body.main[*].pre[*].#text")}),
            ("max=9 ", "max=10 ", {("value", "$.body.main[*].form[*].input[*].@max")}),
            (' selected="selected"', "", {("missing", "$.body.main[*].form[*].select[*].option[*].@selected")}),
            ('value="Tt6hN3fGvR9xE2wS5dQzLl=="', 'value=""', {("format", "$.body.main[*].form[*].input[*].#token")}),
            (' nonce="r4nd0mN0nceBBBB2"', "", {("missing", "$.head.script[*].@nonce")}),
            ('value="CH-104"', 'value="CH-105"', {("value", "$.body.main[*].form[*].input[*].@value")}),
            ("method=post", "method=get", {("value", "$.body.main[*].form[*].@method")}),
            ("?v=118", "?v=119", {("value", "$.head.link[*].@href")}),
            ("&#160;cm", " cm", {("value", "$.body.main[*].ul#features.li[*].#text")}),
            ("<li>Made in Graz", "", {("size", "$.body.main[*].ul#features.li"),
                                      ("missing", "$.body.main[*].ul#features.li[*]")}),
            ("/p/BN-2", "/p/BN-3", {("value", "$.body.main[*].section#related.article[*].a[*].@href")}),
            ("<main>", "<main hidden>", {("extra", "$.body.main[*].@hidden")}),
            ("<!doctype html>", "", {("missing", "$.#doctype")}),
            ("lang=en", "lang=de", {("value", "$.@lang")}),
            ("web-1 in 9 ms", "{host} in 9 ms", {("format", "$.body.footer[*].p#served.#text")}),
        ],
    ),
    "shop.csv": Case(
        {("value", "$[*].placed_at")},
        {"match": {"$[*].placed_at": {"timestamp": "10s"}}},
        [
            ('"129.00"', '"129.0"', {("value", "$[*].total")}),
            ('"Hill, Tom"', '"Hill Tom"', {("value", "$[*].customer")}),
            ('"two\n', '"two \n', {("value", "$[*].note")}),
            ('"items","total"', '"total","items"',
             {("order", "$"), ("value", "$[*].items"), ("value", "$[*].total")}),
            ('"customer"', '"client"', {("missing", "$[*].customer"), ("extra", "$[*].client")}),
            ('10:00:04Z"', '10:00:04+00:00"', {("format", "$[*].placed_at")}),
            ('"AT"', '"AUT"', {("value", "$[*].country")}),
        ],
    ),
    "maps.xml": Case(
        {("value", "$.gpx.metadata.time"), ("value", "$.gpx.trk.extensions.request")},
        {
            "match": {"$.gpx.metadata.time": {"timestamp": "10s"}, "$.gpx.trk.extensions.request": "opaque"},
        },
        [
            ('<g:wpt lat="47.0707"', '<g:wpt lat="47.0708"', {("value", "$.gpx.wpt[*].@lat")}),
            ("<g:ele>401.5<", "<g:ele>401,5<", {("value", "$.gpx.trk.trkseg.trkpt[*].ele")}),
            ('length="2410"', 'length="2.41"', {("value", "$.gpx.trk.extensions.stats.@length")}),
            ("<g:sym>Flag</g:sym>", "", {("missing", "$.gpx.wpt[*].sym")}),
            ("Up & down", "Up &amp; down", {("value", "$.gpx.trk.name")}),
            ("http://maps.example/gpx/1", "http://maps.example/gpx/2", {("value", "$.gpx.@xmlns")}),
            ("10:00:04Z", "10:00:04", {("format", "$.gpx.metadata.time")}),
            ("<g:name>Hauptplatz</g:name><g:sym>Flag</g:sym>", "<g:sym>Flag</g:sym><g:name>Hauptplatz</g:name>",
             {("order", "$.gpx.wpt[*].#order")}),
            (' version="1.1"', "", {("missing", "$.gpx.@version")}),
        ],
    ),
    "payments.form": Case(
        {("value", "$.TOKEN"), ("value", "$.TIMESTAMP"), ("value", "$.CORRELATIONID")},
        {
            "match": {"$.TOKEN": "opaque", "$.TIMESTAMP": {"timestamp": "10s"}},
            "ignore": ["$.CORRELATIONID"],
        },
        [
            ("ACK=Success", "ACK=SuccessWithWarning", {("value", "$.ACK")}),
            ("AMT=25.99", "AMT=25%2C99", {("value", "$.AMT")}),
            ("&VERSION=204", "", {("missing", "$.VERSION")}),
            ("L_NAME0", "L_NAME1", {("missing", "$.L_NAME0"), ("extra", "$.L_NAME1")}),
            ("%2526", "%26", set()),
            ("%20%26%20", "%20%2526%20", {("value", "$.NOTE")}),
        ],
    ),
    "code_hosting.events": Case(
        {("value", "$[*].data.delivered_at")},
        {"match": {"$[*].data.delivered_at": {"timestamp": "10s"}}},
        [
            ("event:star", "event:unstar", {("value", "$[*].event")}),
            ("id:9002\r\n", "", {("missing", "$[*].id")}),
            ("retry:3000", "retry:30000", {("value", "$[*].retry")}),
            ('"sha":"ab12"', '"sha":"ab13"', {("value", "$[*].data.commits[*].sha")}),
            ("data:bye", "data:Bye", {("value", "$[*].data")}),
            ("data:bye\r\n\r\n", "data:bye", {("missing", "$[*].data"), ("extra", "$[*].unfinished")}),
        ],
    ),
}  # fmt: skip
REGRESSIONS = [(name, *planted) for name, case in CASES.items() for planted in case.regressions if planted[2]]


def body(name: str, run: str) -> bytes:
    stem, _, ending = name.partition(".")
    return (FOLDER / f"{stem}.{run}.{ending}").read_bytes()


@pytest.fixture
def ask(compare: Compare, make_answer: MakeAnswer) -> Callable[..., Result]:
    def ask(name: str, candidate: bytes, rules: dict[str, Any]) -> Result:
        fields = [(b"Content-Type", MEDIA[name.partition(".")[2]])]
        return compare(make_answer(body(name, "legacy"), fields), make_answer(candidate, fields), **rules)

    return ask


def found(result: Result) -> Found:
    return {(difference.kind, difference.path) for difference in result.differences}


@pytest.mark.parametrize("name", CASES)
def test_without_rules_all_noise_is_named_and_nothing_else(ask: Callable[..., Result], name: str) -> None:
    result = ask(name, body(name, "again"), {})
    assert result.verdict == "mismatched"
    assert found(result) == CASES[name].noise


@pytest.mark.parametrize("name", CASES)
def test_with_rules_there_is_no_false_alarm(ask: Callable[..., Result], name: str) -> None:
    assert ask(name, body(name, "again"), CASES[name].rules).verdict in ("matched", "ignored")


@pytest.mark.parametrize(("name", "old", "new", "expected"), REGRESSIONS)
def test_each_planted_regression_is_found_and_nothing_else(
    ask: Callable[..., Result], name: str, old: str, new: str, expected: Found
) -> None:
    again = body(name, "again").decode()
    assert old in again, "the fixture has changed"
    result = ask(name, again.replace(old, new, 1).encode(), CASES[name].rules)
    assert result.verdict == "mismatched"
    assert found(result) == expected


def test_there_are_enough_of_them() -> None:
    assert len(REGRESSIONS) >= 80
