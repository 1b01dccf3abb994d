"""A table on a terminal is as wide as the terminal at most; elsewhere it is whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from loader.warehouse.table import Row, fitted, text_table
from loader.warehouse.text import printable

LETTERS = st.text("abc 0ñé日本🦄", max_size=40).map(printable)
VALUES = st.none() | st.integers() | st.booleans() | LETTERS


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    width = draw(st.integers(1, 12))
    head: Row = [*draw(st.lists(LETTERS, min_size=width, max_size=width))]
    rows = draw(st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=5))
    return [head, *map(list, rows)]


@given(tables(), st.integers(10, 200))
def test_no_line_is_wider_than_the_terminal(cells: list[Row], width: int) -> None:
    lines = fitted(cells, width).split("\n")
    assert all(0 < wcswidth(line) <= width for line in lines)
    assert len(lines) == len(cells) + 3 - (len(cells) == 1)


@given(tables())
def test_what_fits_is_whole(cells: list[Row]) -> None:
    whole = text_table([str(name) for name in cells[0]], cells[1:])
    widest = max(map(wcswidth, whole.split("\n")))
    assert fitted(cells, widest) == whole
    assert "…" not in whole
    for row in cells:
        assert all(str(value) in whole for value in row if value is not None)


def test_the_longest_cells_are_cut_first() -> None:
    cells: list[Row] = [["id", "text"], [1, "x" * 100], [2, "short"]]
    assert fitted(cells, 24) == (
        "+----+-----------------+\n"
        "| id | text            |\n"
        "+----+-----------------+\n"
        "|  1 | xxxxxxxxxxxxxx… |\n"
        "|  2 | short           |\n"
        "+----+-----------------+"
    )


@pytest.mark.parametrize("rows", [[], [[1, 2]]])
def test_two_columns_may_have_one_name(rows: list[list[int]]) -> None:
    assert text_table(["a", "a"], rows).count("a") == 2
