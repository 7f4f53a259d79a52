"""All targets by name."""

from __future__ import annotations

from tests.fuzz import contract_targets, hostile_targets, json_targets, judge_target, media_targets, secret_target
from tests.fuzz.media import MEDIA_TYPES
from tests.fuzz.run import Target

TARGETS: dict[str, Target] = {
    "json": json_targets.plain,
    "rules": json_targets.ruled,
    "rename": contract_targets.renamed,
    "subset": contract_targets.subset,
    "schema": contract_targets.schema,
    "damaged": hostile_targets.damaged,
    "hostile": hostile_targets.whole,
    "secrets": secret_target.planted,
    "decoders": hostile_targets.decoders,
    "heads": hostile_targets.heads,
    "judge": judge_target.judged,
    **{name: media_targets.target(name) for name in MEDIA_TYPES},
}
"""What ``--target`` names."""

SELDOM = {"hostile": 20}
"""Every so manieth case of these is run beside the others, because one takes as long as many."""

WELL_FORMED = {"json", "rules", "rename", "subset", "schema", *MEDIA_TYPES}
"""Targets whose bodies are all as they should be, so that hardly anything may be incomparable."""
