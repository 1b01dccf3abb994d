"""Rows as a table for people."""

from collections.abc import Iterable, Sequence

from prettytable import PrettyTable

from loader.warehouse.text import printable


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str | int | None]]) -> str:
    """A table in which no cell breaks its line, nor acts on a terminal; numbers stand right."""
    table = PrettyTable([printable(column) for column in columns], none_format="null", align="l")
    cells = [[printable(value) if isinstance(value, str) else value for value in row]
             for row in rows]  # fmt: skip
    for place, column in enumerate(table.field_names):
        if any(isinstance(row[place], int) for row in cells):
            table.align[column] = "r"
    table.add_rows(cells)
    return str(table.get_string())
