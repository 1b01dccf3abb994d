"""A new threshold or book: what it takes to compute it alone, beside all made anew."""

from collections.abc import Callable, Iterator

from tests.bench.figures import Table, median
from tests.bench.market import BOOKS, NEW_ROWS, extend, seconds_by_model
from tests.bench.stage import Stage, psql
from tests.conftest import Warehouse

MADE = ("spread_hourly", "spread_alerts")
ANEW = ("--full-refresh", "--exclude", "+target.quotes", "book_thresholds")
WATCH = "insert into reference.spread_thresholds values (%s, %s, null, null, 'default')"


def settings(stage: Stage, *, rows: int, runs: int) -> Iterator[Table]:
    """Seconds of the models over the spread after each kind of change, over so much history."""
    with stage.warehouse() as warehouse:
        warehouse.dbt("seed")
        extend(warehouse, 0, rows)
        psql(warehouse, "vacuum analyze raw.bitso_tickers")
        seconds_by_model(warehouse)
        psql(warehouse, "vacuum analyze")
        known = rows

        def nothing(_: int) -> None:
            return

        def new_rows(number: int) -> None:
            extend(warehouse, known + number * NEW_ROWS, NEW_ROWS)

        def one_book(number: int) -> None:
            warehouse.rows(WATCH, BOOKS[number], f"0.2{number}")

        def every_book(number: int) -> None:
            warehouse.rows(WATCH, "*", f"0.3{number}")

        def new_book(number: int) -> None:
            _list_a_book(warehouse, f"new{number}_mxn")

        changes: dict[str, Callable[[int], None]] = {
            "nothing new": nothing,
            f"{NEW_ROWS} new rows": new_rows,
            "a threshold of one book": one_book,
            "a threshold of every book": every_book,
            "a book": new_book,
        }
        found: dict[str, list[dict[str, float]]] = {}
        for name, change in changes.items():
            for number in range(runs):
                change(number)
                found.setdefault(name, []).append(seconds_by_model(warehouse))
        found["all made anew"] = [seconds_by_model(warehouse, *ANEW) for _ in range(runs)]
    yield _table(rows, runs, found)


def _list_a_book(warehouse: Warehouse, book: str) -> None:
    """A catalogue with a book that nobody has heard of."""
    warehouse.rows("select raw.ensure_day('bitso_books', '2026-01-05')")
    warehouse.rows(
        "with run as (insert into ops.runs (job, status, finished_at, rows_read, rows_inserted) "
        "values ('books', 'succeeded', now(), 1, 1) returning run_id) "
        "insert into raw.bitso_books (received_at, book, payload, run_id) "
        "select '2026-01-05 00:00+00', %s, '{}', run_id from run",
        book,
    )


def _table(rows: int, runs: int, found: dict[str, list[dict[str, float]]]) -> Table:
    anew = {model: median([run[model] for run in found["all made anew"]]) for model in MADE}
    lines: list[tuple[str, ...]] = [("", *MADE, "of all made anew")]
    figures: dict[str, object] = {"rows": rows}
    for name, taken in found.items():
        medians = {model: median([run[model] for run in taken]) for model in MADE}
        share = sum(medians.values()) / sum(anew.values())
        figures[name] = medians
        cells = [f"{medians[model]:.2f} s" for model in MADE]
        lines.append((name, *cells, f"{share:.2f}"))
    return Table(
        f"Models over the spread, {rows:,} quotes of {len(BOOKS)} books, median of {runs}",
        lines,
        figures,
    )
