"""SQL that a person can read at one sitting."""

from pathlib import Path

import pytest

from loader.warehouse.settings import PROJECT_ROOT

QUESTIONS = sorted((PROJECT_ROOT / "dashboards" / "questions").glob("*.sql"))
# The rules of the alert episodes are one piece until they change.
EPISODES = PROJECT_ROOT / "dbt_project" / "macros" / "spread_episodes.sql"
OTHERS = [
    file
    for folder in ("functions", "macros", "models", "tests")
    for file in sorted((PROJECT_ROOT / "dbt_project" / folder).rglob("*.sql"))
    if file != EPISODES
]


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines())


@pytest.mark.parametrize("file", QUESTIONS, ids=lambda file: file.stem)
def test_a_question_has_less_than_90_lines(file: Path) -> None:
    assert _lines(file) < 90


@pytest.mark.parametrize("file", OTHERS, ids=lambda file: file.stem)
def test_any_other_file_has_at_most_130(file: Path) -> None:
    assert _lines(file) <= 130
