"""What the tests of the stream share."""

from pathlib import Path

import pytest


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where a spool will be."""
    return tmp_path / "spool.jsonl"
