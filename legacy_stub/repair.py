"""What follows the report: differences are marked as fixed, and the routes' readiness moves.

Law: only what Banyan's admin side says is shown; nothing here knows what was planted.
"""

from __future__ import annotations

import json

import aiohttp

REASON = "repaired and deployed"


async def mark_fixed(admin: str) -> int:
    """Say of each open difference that it is gone, as ``banyan fixed`` does; how many there were. Raises
    aiohttp.ClientError."""
    async with aiohttp.ClientSession(admin, raise_for_status=True) as client:
        async with client.get("/api/diffs") as answer:
            found = (await answer.json())["diffs"]
        open_ones = [each for each in found if each["state"] in ("new", "regressed") and not each["noisy"]]
        for each in open_ones:
            await client.post(f"/api/diffs/{each['fingerprint']}/fixed", json={"reason": REASON})
    return len(open_ones)


class Moments:
    """The readiness of every route at some moments of the story."""

    def __init__(self) -> None:
        self._moments: list[tuple[str, dict[str, str]]] = []
        self._why: dict[str, str] = {}

    def add(self, moment: str, status: str) -> None:
        """Take what ``/api/status`` said at a moment."""
        routes = json.loads(status).get("routes", [])
        found = {each["route"]: each.get("readiness") or {} for each in routes}
        self._moments.append((moment, {route: each.get("verdict", "") for route, each in found.items()}))
        self._why = {route: each.get("summary", "") for route, each in found.items()}

    def table(self) -> list[str]:
        """One line for each route, one column for each moment, and why it is as it is at last."""
        rows = [["readiness", *(moment for moment, _ in self._moments), "why"]]
        rows += [
            [route, *(verdicts.get(route, "") for _, verdicts in self._moments), why]
            for route, why in self._why.items()
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
