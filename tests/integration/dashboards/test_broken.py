"""One question file that is broken breaks that question only, wherever questions are shown."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from dashboards import definitions, questions
from dashboards.questions import load_questions
from tests.conftest import Warehouse

SAID = "question spread-alerts: title: Field required"
ASKS_TOO_MUCH = 'question spread-now: Postgres: column "nothing" does not exist'


@pytest.fixture
def broken(sampled: Warehouse) -> Iterator[Warehouse]:
    """The sample, with a question whose file has no title."""

    def parse(name: str, text: bytes) -> questions.Question:
        wrong = text.replace(b"title:", b"titel:", 1) if name == "spread-alerts" else text
        return parse_question(name, wrong)

    parse_question = questions.parse_question
    with mock.patch.object(questions, "parse_question", parse):
        for cached in (questions._read_questions, definitions.load_dashboards):
            cached.cache_clear()
        yield sampled
    for cached in (questions._read_questions, definitions.load_dashboards):
        cached.cache_clear()


def test_the_list_has_the_others(broken: Warehouse) -> None:
    for arguments in (["ask"], ["ask", "--list"]):
        done = broken.call("dashboards", *arguments)
        assert done.returncode == 1
        assert f"dashboards: {SAID}".split(";")[0] in done.stderr
        assert "spread-now" in done.stdout
        assert "spread-alerts" not in done.stdout


def test_the_others_are_answered(broken: Warehouse) -> None:
    assert broken.call("dashboards", "ask", "last-login").returncode == 0
    done = broken.call("dashboards", "ask", "spread-alerts")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "question spread-alerts: " in done.stderr


def test_the_others_are_exported(broken: Warehouse, tmp_path: Path) -> None:
    now = load_questions()["spread-now"]
    odd = now.model_copy(update={"statement": now.statement.replace("muted_until", "nothing", 1)})
    with mock.patch.dict(load_questions(), {"spread-now": odd}):
        done = broken.call("dashboards", "export", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "question spread-alerts: " in done.stderr
    assert ASKS_TOO_MUCH in done.stderr
    written = {path.stem for path in (tmp_path / "questions").iterdir()}
    assert written == load_questions().keys() - {"spread-now"}


def test_the_page_shows_the_others_and_says_what_is_wrong(
    broken: Warehouse, tmp_path: Path
) -> None:
    done = broken.call("dashboards", "preview", "--out", tmp_path / "page.html")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "spread-alerts: question spread-alerts: " in done.stderr
    page = (tmp_path / "page.html").read_text()
    assert page.count('<p class="error">') == done.stderr.count("question spread-alerts: ")
    assert "<h3>spread-alerts</h3>" in page


def test_nothing_is_brought_to_metabase(broken: Warehouse) -> None:
    """There it would be taken for a question that has left."""
    for command in ("plan", "apply"):
        done = broken.call("dashboards", command)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "question spread-alerts: " in done.stderr
