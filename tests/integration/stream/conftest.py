"""What the tests of the stream share."""

from pathlib import Path

import pytest


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where a spool will be."""
    return tmp_path / "spool.jsonl"


@pytest.fixture
def tries_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer's pauses between two tries are over as soon as they begin."""
    monkeypatch.setattr("loader.stream.writer.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("loader.stream.writer.LONGEST_RETRY_SECONDS", 0.01)
