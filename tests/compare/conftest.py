"""Pairs and rules in one line."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from proxy.compare.result import Budget, Result
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.model import Compare
from proxy.messages import Answer, Fields, Pair

DEFAULT = Budget()
JSON: Fields = [(b"Content-Type", b"application/json")]


def answer(body: Any = b"", fields: Fields = JSON, status: int = 200, **more: Any) -> Answer:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, fields, raw, more.pop("truncated", False), 0.01, **more)


def pair(legacy: Answer, candidate: Answer, **more: Any) -> Pair:
    values: dict[str, Any] = {
        "generation": 1, "route": "orders", "request_id": "id-1", "at": 1_700_000_000.0, "method": "GET",
        "target": b"/orders", "fields": [], "body": b"", "arm": "legacy", "reason": "stage", "cohorts": [],
    }  # fmt: skip
    return Pair(**{**values, **more}, legacy=legacy, candidate=candidate)


def judge(legacy: Any, candidate: Any, budget: Budget = DEFAULT, **rules: Any) -> Result:
    one = legacy if isinstance(legacy, Answer) else answer(legacy)
    two = candidate if isinstance(candidate, Answer) else answer(candidate)
    return compare_pair(pair(one, two), compile_rules(Compare(**rules)), budget, lambda: 0.0)


@pytest.fixture
def compare() -> Callable[..., Result]:
    return judge


@pytest.fixture
def make_answer() -> Callable[..., Answer]:
    return answer


@pytest.fixture
def make_pair() -> Callable[..., Pair]:
    return pair
