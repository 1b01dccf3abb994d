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
    # A line a row, or, where that would say too little, at least one a cell.
    is_a_table = len(lines) == len(cells) + 3 - (len(cells) == 1)
    assert is_a_table or len(lines) >= (len(cells) - 1) * len(cells[0])


@given(tables())
def test_what_fits_is_whole(cells: list[Row]) -> None:
    whole = text_table([str(name) for name in cells[0]], cells[1:])
    widest = max(map(wcswidth, whole.split("\n")))
    assert fitted(cells, widest) == whole
    assert "…" not in whole
    for row in cells:
        assert all(str(value) in whole for value in row if value is not None)


CELLS: list[Row] = [["id", "text"], [1, "x" * 30], [2, "short"]]


def test_the_longest_cells_are_cut_first() -> None:
    assert fitted(CELLS, 25) == (
        "+----+------------------+\n"
        "| id | text             |\n"
        "+----+------------------+\n"
        "|  1 | xxxxxxxxxxxxxxx… |\n"
        "|  2 | short            |\n"
        "+----+------------------+"
    )


def test_where_too_little_would_be_left_each_cell_has_a_line() -> None:
    numbers: list[Row] = [["id", "one", "two"], [7, "1" * 12, "2" * 18]]
    assert fitted(numbers, 40).count("\n") == 4
    assert fitted(numbers, 36) == (
        "+-----+--------------------+\n"
        "| id  | 7                  |\n"
        "| one | 111111111111       |\n"
        "| two | 222222222222222222 |\n"
        "+-----+--------------------+"
    )
    assert fitted(CELLS, 24).count("x") == 30


@pytest.mark.parametrize("rows", [[], [[1, 2]]])
def test_two_columns_may_have_one_name(rows: list[list[int]]) -> None:
    assert text_table(["a", "a"], rows).count("a") == 2
