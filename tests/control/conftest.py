"""What the tests of the control plane share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from inbox_rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "banyan.db")
    await rig.ledger.open()
    yield rig
    await rig.ledger.close()
