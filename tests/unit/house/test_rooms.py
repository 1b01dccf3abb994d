"""What keeps the house tidy: sizes, names, and who alone may do what.

The directions of imports are held by import-linter in `make lint`.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from loader.warehouse.settings import PROJECT_ROOT

MOST_LINES = 350
# What fits a screen.
MOST_LINES_OF_A_FUNCTION = 50
# They say nothing of what they are of.
BARE_NAMES = {"Writer", "Job", "Limits", "Feed", "Run", "Row", "Found", "Live", "Target", "Work"}

MODULES = [
    path.relative_to(PROJECT_ROOT)
    for room in ("loader", "dashboards", "scheduler", "docs")
    for path in sorted((PROJECT_ROOT / room).rglob("*.py"))
]
LEDGER = Path("loader/warehouse/ledger")
WRITES_TO_OPS = re.compile(
    r"\b(insert\s+into|update|delete\s+from|merge\s+into|truncate)\s+ops\.(?!migrations\b)\w+",
    re.IGNORECASE,
)
MAKES_PARTITIONS = re.compile(
    r"\braw\.(ensure_day|drop_day|open_snapshot|publish_snapshot|drop_old_snapshots|index_keys)\b"
    r"|\b(create|drop)\s+table\s+(if\s+\w+\s+)*raw\.",
    re.IGNORECASE,
)
OPENS_A_CONNECTION = re.compile(r"\bpsycopg2\.connect\(")


def text_of(path: Path) -> str:
    return (PROJECT_ROOT / path).read_text()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(text_of(path)))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_is_short_and_so_are_its_functions(path: Path) -> None:
    assert len(text_of(path).splitlines()) <= MOST_LINES
    too_long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert too_long == []


def test_a_class_has_a_name_of_its_own_that_says_what_it_is() -> None:
    names = Counter(
        node.name.lstrip("_")
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []
    assert BARE_NAMES.intersection(names) == set()


@pytest.mark.parametrize(
    ("pattern", "room"),
    [
        pytest.param(WRITES_TO_OPS, LEDGER, id="writes to ops"),
        pytest.param(MAKES_PARTITIONS, LEDGER, id="makes and drops partitions"),
        pytest.param(
            OPENS_A_CONNECTION, Path("loader/warehouse/postgres/connection.py"),
            id="opens a connection",
        ),
    ],
)  # fmt: skip
def test_one_room_alone_does_it(pattern: re.Pattern[str], room: Path) -> None:
    files = [
        *MODULES,
        *(path.relative_to(PROJECT_ROOT) for path in (PROJECT_ROOT / "loader").rglob("*.sql")),
    ]
    found = {
        path
        for path in files
        if "migrations" not in path.parts and pattern.search(_without_comments(text_of(path)))
    }
    assert found
    assert [path for path in found if not path.is_relative_to(room)] == []


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^\s*(#|--).*$", "", text)


def test_the_three_patterns_find_what_they_are_for() -> None:
    assert WRITES_TO_OPS.search('"insert into ops.runs (job) values (%s)"')
    assert WRITES_TO_OPS.search("update  ops.cursors\nset")
    assert MAKES_PARTITIONS.search("select raw.ensure_day(%s, %s)")
    assert not MAKES_PARTITIONS.search("select raw.partition_time(relname)")
    assert OPENS_A_CONNECTION.search("psycopg2.connect(dsn)")


# What is counted in words, and may be one: text.counted says it. Neither limits are, nor the whole
# that something is of.
COUNTED = re.compile(
    r" (row|message|mute|run|day|file|observation|line|record|field|attempt|byte|spread|place)s\b"
)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_counts_in_words_know_one(path: Path) -> None:
    tree = ast.parse((PROJECT_ROOT / path).read_text())
    for text in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
        values = [ast.Constant(""), *text.values]
        for before, count, words in zip(values, values[1:], values[2:], strict=False):
            if isinstance(count, ast.FormattedValue) and isinstance(words, ast.Constant):
                is_limit = ast.unparse(count.value).strip("()").partition(" ")[0].isupper()
                is_whole = isinstance(before, ast.Constant) and str(before.value).endswith(" of ")
                assert is_limit or is_whole or not COUNTED.match(str(words.value)), ast.unparse(
                    text
                )
