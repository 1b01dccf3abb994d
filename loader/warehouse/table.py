"""Rows as a table for people."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import accumulate, takewhile

from prettytable import PrettyTable
from wcwidth import wcswidth, wcwidth

from loader.warehouse.text import printable

Row = list[str | int | None]
# What stands around a cell: `| cell ` and, at the end of the line, `|`.
_AROUND, _END = 3, 1
# A cell that is cut to less than this says nothing: half of a number is another number.
_LEAST = 16


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str | int | None]]) -> str:
    """A table in which no cell breaks its line, nor acts on a terminal; numbers stand right.

    On a terminal no line is longer than it is wide: long cells are cut, with a mark, and where too
    little would be left of them each row stands as lines of its own. Wherever else stdout goes,
    everything is whole.
    """
    cells: list[Row] = [list(map(printable, columns))]
    cells += [[printable(value) if isinstance(value, str) else value for value in row]
              for row in rows]  # fmt: skip
    if sys.stdout.isatty():
        return fitted(cells, shutil.get_terminal_size().columns)
    return _drawn(cells)


def fitted(cells: list[Row], width: int) -> str:
    """The table of a head and its rows, no line of it wider than so many columns."""
    widths = [max(wcswidth(_text(row[place])) for row in cells) for place in range(len(cells[0]))]
    room = width - _END - _AROUND * len(widths)
    # No cell that is wider than the room for all of them can stay whole.
    widest = min(max(widths, default=0), max(room, _LEAST))
    # The longest cells are cut first.
    while sum(min(each, widest) for each in widths) > room and widest > _LEAST:
        widest -= 1
    if sum(min(each, widest) for each in widths) > room and len(cells) > 1:
        table = _rows_as_lines(cells, width)
    else:
        table = _drawn([[_cut_cell(value, widest) for value in row] for row in cells])
    # Where not even that is enough, the ends are not to be seen.
    return "\n".join(_cut(line, width) for line in table.split("\n"))


def _rows_as_lines(cells: list[Row], width: int) -> str:
    """A line for each cell, behind the name of its column; long ones go on in the next."""
    names, *rows = cells
    widest = max(wcswidth(_text(name)) for name in names)
    table = PrettyTable(["name", "value"], header=False, none_format="null", align="l")
    table.max_width["value"] = max(width - _END - 2 * _AROUND - widest, _LEAST)
    for row in rows:
        for place, value in enumerate(row):
            table.add_row([names[place], value], divider=place == len(row) - 1)
    return str(table.get_string())


def _drawn(cells: list[Row]) -> str:
    # The head is a row like the others: two columns may have one name.
    table = PrettyTable(list(map(str, range(len(cells[0])))), header=False, none_format="null",
                        align="l")  # fmt: skip
    for place, name in enumerate(table.field_names):
        if any(isinstance(row[place], int) for row in cells[1:]):
            table.align[name] = "r"
    for number, row in enumerate(cells):
        table.add_row(row, divider=number == 0)
    # An answer may have no column.
    return str(table.get_string()) if cells[0] else ""


def _text(value: str | int | None) -> str:
    return "null" if value is None else str(value)


def _cut_cell(value: str | int | None, width: int) -> str | int | None:
    text = _text(value)
    return value if wcswidth(text) <= width else _cut(text, width)


def _cut(text: str, width: int) -> str:
    if wcswidth(text) <= width:
        return text
    so_far = accumulate(map(wcwidth, text))
    return text[: len(list(takewhile(lambda taken: taken < width, so_far)))] + "…"
