"""Walks over two documents in one line."""

from __future__ import annotations

from typing import Any

from proxy.compare.redact import PLAIN, Redactor
from proxy.compare.result import Budget
from proxy.compare.rules import CompareRules, compile_rules
from proxy.compare.walk import Walk
from proxy.config.comparing import Compare

PLENTY = Budget(nodes=10**7, differences=10**6)
ONE = "3f2b8c1e-9b1d-4c7a-8f00-0123456789ab"  # a UUID


def walk(
    a: Any, b: Any, rules: CompareRules | None = None, budget: Budget = PLENTY, redactor: Redactor = PLAIN
) -> Walk:
    made = Walk(budget, lambda: 0.0, redactor)
    made.compare(a, b, (rules or compile_rules(Compare())).start, "$")
    return made


def found(a: Any, b: Any, **rules: Any) -> dict[tuple[str, str], int]:
    """What is reported, with its number, by kind and path."""
    made = walk(a, b, compile_rules(Compare(**rules)))
    return {place: values[2] for place, values in made.found.items()}
