"""The documents: links lead somewhere, the reference is current, nothing is left out."""

import re
from pathlib import Path

import pytest

from dashboards.questions import load_questions
from docs.reference import pages
from loader.cli.main import main
from loader.warehouse.settings import PROJECT_ROOT, Settings

DOCS = PROJECT_ROOT / "docs"
PAGES = sorted([*PROJECT_ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCE = re.compile(r"^```(?P<language>.*)\n(?P<text>(?:.*\n)*?)^```$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)(?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")


def prose(page: Path) -> str:
    """A page without its blocks and pieces of code, which hold no links or headings."""
    return re.sub(
        r"`[^`\n]*`", lambda code: code[0].strip("`[]()"), FENCE.sub("", page.read_text())
    )


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def broken_links(page: Path) -> list[str]:
    """The links of a page that lead nowhere, or from the site to what is no part of it."""
    broken = []
    for link in LINK.finditer(prose(page)):
        target = (page.parent / link["target"]).resolve() if link["target"] else page
        leaves = DOCS in page.parents and DOCS not in target.parents
        if (
            leaves
            or not target.exists()
            or (link["anchor"] and link["anchor"] not in anchors(target))
        ):
            broken.append(link[0])
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two\n[a](page.md#one-two) [b](page.md#three) [c](#one-two) [d](none.md)\n"
    )
    assert broken_links(page) == ["](page.md#three)", "](none.md)"]


def test_the_reference_is_that_of_the_code() -> None:
    kept = {file.name: file.read_text() for file in (DOCS / "reference").glob("*.md")}
    made = pages()
    stale = sorted(name for name in {*kept, *made} if kept.get(name) != made.get(name))
    assert stale == [], "run `make docs`"


def test_every_page_is_in_the_menu() -> None:
    menu = (PROJECT_ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"[\w/-]+\.md", menu)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_every_command_is_marked_as_run_or_shown(page: str) -> None:
    languages = {fence["language"] for fence in FENCE.finditer((PROJECT_ROOT / page).read_text())}
    assert languages == {"console", "sh", "text"}


def test_the_readme_is_short() -> None:
    assert 120 <= len((PROJECT_ROOT / "README.md").read_text().splitlines()) <= 200


def test_every_question_has_an_example() -> None:
    page = (DOCS / "how-to" / "ask-questions.md").read_text()
    assert [name for name in load_questions() if f"$ dashboards ask {name}" not in page] == []


def test_every_command_has_a_place_in_a_guide() -> None:
    guides = "".join(
        page.read_text() for page in DOCS.rglob("*.md") if page.parent.name != "reference"
    )
    assert [
        name
        for name in main.commands
        if f"loader {name}" not in guides and f"make {name}" not in guides
    ] == []


def test_every_setting_is_in_the_reference_with_its_meaning() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `WAREHOUSE_{name.upper()}` | {field.description}" in page
