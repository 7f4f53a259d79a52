"""The raw-socket cases of the shared folder: every one of them is answered as it should be."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Upstream, running
from ports import free_port

ROOT = Path(__file__).parent.parent
CASES = Path(os.environ.get("BANYAN_CASES", ROOT.parent / "shared" / "cases"))
SHARDS = 10
WAIT_SECONDS = 0.35

if not CASES.is_dir() and os.environ.get("CI") != "true":
    pytest.skip(f"no cases in {CASES}; set BANYAN_CASES to their folder", allow_module_level=True)


def cases(name: str) -> list[str]:
    return [case["id"] for case in json.loads((CASES / name).read_text())]


async def judge(shard: list[str], folder: Path) -> list[dict[str, object]]:
    """Run some of the cases against a worker of their own."""
    legacy = Upstream()
    legacy.port = free_port()  # the runner listens there itself
    document = {"upstreams": {"legacy": {"endpoints": [legacy.url]}}, "legacy": "legacy"}
    async with running(document, comparator=False) as worker:
        out = folder / f"{legacy.port}.json"
        runner = await asyncio.create_subprocess_exec(
            sys.executable, str(CASES / "run_http_cases.py"),
            "--proxy", f"127.0.0.1:{worker.port}", "--upstream", f"127.0.0.1:{legacy.port}",
            "--cases", str(CASES / "http_cases.json"), "--responses", str(CASES / "http_response_cases.json"),
            "--only", ",".join(shard), "--wait", str(WAIT_SECONDS), "--out", str(out), stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert await runner.wait() in {0, 1}, "the runner itself failed: see its standard error"
        return list(json.loads(out.read_text()))


async def test_every_case_is_answered_as_it_should_be(tmp_path: Path) -> None:
    ids = cases("http_cases.json") + cases("http_response_cases.json")
    found = await asyncio.gather(*(judge(ids[n::SHARDS], tmp_path) for n in range(SHARDS)))
    results = [result for part in found for result in part]
    assert len(results) == len(ids) >= 210
    assert [(r["id"], r["verdict"], r["why"], r["client"]) for r in results if r["verdict"] != "ok"] == []
