"""Names that people type: a book, a currency and a jurisdiction are known in any case."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection

from dashboards.questions import load_questions
from loader.warehouse.postgres.connection import connect
from tests.conftest import Warehouse

KNOWN = {"book": "btc_mxn", "currency": "mxn", "jurisdiction": "mx"}
ASKED = [
    (name, parameter)
    for name, question in load_questions().items()
    for parameter in KNOWN
    if parameter in question.parameters
]
NOTHING_IN_THE_SAMPLE = {"open-alerts"}


@pytest.fixture
def reading(sampled: Warehouse) -> Iterator[Connection]:
    assert sampled.where.db
    with closing(connect()) as connection:
        yield connection


@pytest.mark.parametrize(("name", "parameter"), ASKED)
def test_a_name_is_known_in_any_case(reading: Connection, name: str, parameter: str) -> None:
    known = KNOWN[parameter]
    said = [answer(reading, name, {parameter: each}) for each in (known, known.upper())]
    said.append(answer(reading, name, {parameter: known.title()}))
    assert said[0] == said[1] == said[2]
    is_answered = said[0] != answer(reading, name, {parameter: "xx_none"})
    assert is_answered == (name not in NOTHING_IN_THE_SAMPLE)


def test_every_such_parameter_is_asked() -> None:
    assert {parameter for _, parameter in ASKED} == set(KNOWN)


def answer(reading: Connection, name: str, given: dict[str, str]) -> list[Any]:
    question = load_questions()[name]
    with reading.cursor() as cursor:
        cursor.execute(question.statement, question.bind(given))
        return cursor.fetchall()
