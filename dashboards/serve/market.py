"""The market now, for the head of each page: every watched book with its state and age."""

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from dashboards.answers import ask
from dashboards.questions import load_questions
from loader.warehouse.text import age

QUESTION = "spread-now"


@dataclass(frozen=True)
class BookNow:
    """A watched book; `state` is calm, above, blind or unwatched (no threshold)."""

    book: str
    state: str
    said: str


def market_now(connection: Connection) -> tuple[BookNow, ...]:
    """Every watched book, those first that need a look."""
    question = load_questions()[QUESTION]
    answer = ask(connection, question, question.bind({}))
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    return tuple(BookNow(str(row["book"]), str(row["state"]), _said(row)) for row in rows)


def _said(row: dict[str, str | int | None]) -> str:
    if row["age_seconds"] is None:
        return "never seen"
    seen = age(float(row["age_seconds"]))
    if row["state"] == "blind":
        # What the spread was then is nothing to go by now.
        return f"seen {seen}"
    threshold = f"{row['above_pct']} %: " if row["state"] == "above" else ""
    return f"{threshold}{float(row['spread'] or 0):.3f} %, {seen}"
