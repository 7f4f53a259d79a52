"""Watches of EndpointSlices: they end, fall behind, break off and fall silent, and are taken up again."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_api import Api, a_slice, a_source, endpoint

from proxy.control.discovery import kubernetes as module


async def test_a_watch_that_the_server_ends_is_taken_up_where_it_ended(api: Api, watching: Any) -> None:
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.say("ADDED", a_slice("a", endpoint("10.0.0.1"), version="101"))
        await answers.until("http://10.0.0.1:8080")
        api.say("BOOKMARK", {"kind": "EndpointSlice", "metadata": {"resourceVersion": "170"}})
        assert await answers.next() == {"http://10.0.0.1:8080": 1}
        api.end()
        assert await answers.next() == {"http://10.0.0.1:8080": 1}
        assert api.lists == 1
        first, second = (query for query in api.seen if "watch" in query)
        assert (first["resourceVersion"], second["resourceVersion"]) == ("100", "170")
        assert first["allowWatchBookmarks"] == "true"
        assert first["timeoutSeconds"] == "240"


async def test_a_version_that_is_gone_in_mid_watch_is_listed_anew(api: Api, watching: Any) -> None:
    api.slices = [a_slice("a", endpoint("10.0.0.1"))]
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.slices, api.version = [a_slice("b", endpoint("10.0.0.2"))], "900"
        api.say("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
        assert await answers.next() == {"http://10.0.0.2:8080": 1}
        await answers.next()
        assert api.seen[-1]["resourceVersion"] == "900"


async def test_a_version_that_is_gone_when_the_watch_begins_is_listed_anew(api: Api, watching: Any) -> None:
    api.slices, api.watch_status = [a_slice("a", endpoint("10.0.0.1"))], 410
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        api.watch_status = 200
        await answers.next()
        await api.open()
    assert api.lists >= 2


async def test_a_connection_that_is_cut_in_mid_watch_is_a_loss_and_the_next_watch_lists(
    api: Api, watching: Any
) -> None:
    api.slices = [a_slice("a", endpoint("10.0.0.1"))]
    source = a_source(api)
    async with watching(source) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.raw(b'{"type": "ADDED", "obj')
        api.cut()
        assert await answers.lost() == f"{api.url}: the answer broke off"
    api.slices = [a_slice("b", endpoint("10.0.0.2"))]
    async with watching(source) as answers:
        assert await answers.next() == {"http://10.0.0.2:8080": 1}


async def test_a_watch_that_falls_silent_for_good_is_a_loss(
    api: Api, watching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0)
    monkeypatch.setattr(module, "MARGIN_SECONDS", 0.3)
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        assert await answers.lost() == f"{api.url}: no answer in time"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"garbage\n", "an event is not understood"),
        (b'{"type": "ADDED", "object": 7}\n', "an event is not understood"),
        (
            b'{"type": "ERROR", "object": {"code": 500, "message": "etcd is away"}}\n',
            "the watch failed: 500 etcd is away",
        ),
        (b"x" * 5000, "an event is larger than"),
    ],
)
async def test_an_event_that_is_none_is_a_loss(
    api: Api, watching: Any, line: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 4096)
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.raw(line)
        assert why in await answers.lost()


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "it answers 401: is the token right?"),
        (403, "it answers 403: may the service account"),
        (503, "answers 503"),
    ],
)
async def test_a_list_that_is_refused_is_a_loss(api: Api, watching: Any, status: int, why: str) -> None:
    api.status = status
    async with watching(a_source(api)) as answers:
        assert why in await answers.lost()


async def test_more_slices_than_the_bound_are_a_loss(api: Api, watching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SLICES", 2)
    api.slices = [a_slice("a"), a_slice("b")]
    async with watching(a_source(api)) as answers:
        await answers.next()
        await answers.next()
        await api.open()
        api.say("MODIFIED", a_slice("a", endpoint("10.0.0.1")))
        await answers.next()
        api.say("ADDED", a_slice("c"))
        assert await answers.lost() == f"{api.url}: the Service has more than 2 slices"
