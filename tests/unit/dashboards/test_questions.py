"""Question files and parameter values: what is accepted, and what is said about the rest."""

from datetime import date
from itertools import chain

import pytest
from click.testing import CliRunner, Result

from dashboards.cli import main
from dashboards.parameters import Parameter
from dashboards.questions import GROUPS, Question, load_questions, parse_question
from loader.warehouse.errors import TerminalError, UsageError
from loader.warehouse.relative import EXPECTED
from loader.warehouse.text import nearest

# DESIGN's table: names, parameters in their order, and defaults that are not found in the data.
QUESTIONS: dict[str, dict[str, str | int | None]] = {
    "active-users": {"day": None, "status": "complete"},
    "users-without-deposits": {"status": "complete"},
    "users-with-many-deposits": {
        "day": None, "more_than": 5, "status": "complete", "counting": "to_date",
    },
    "last-login": {"user_id": None},
    "login-count": {"from": None, "to": None, "user_id": None},
    "currencies-deposited": {"day": None, "status": "complete"},
    "currencies-withdrawn": {"day": None, "status": "complete"},
    "amount-deposited": {"day": None, "currency": "mxn", "status": "complete"},
    "average-deposit": {"level": 2, "jurisdiction": "mx", "status": "complete"},
    "user-levels": {"jurisdiction": None, "user_id": None},
    "spread-observations": {"book": "btc_mxn", "from": None, "to": None},
    "spread-alerts": {"book": None, "threshold": None, "from": None, "to": None},
    "spread-breaches": {"book": None, "threshold": "0.1", "from": None, "to": None},
    "observation-coverage": {"book": None, "from": None, "to": None},
    "similar-exchanges": {},
    "shared-markets": {"exchange_id": None},
    "exchange-volumes": {"from": None, "to": None},
    "pipeline-runs": {"job": None, "from": None, "to": None},
}  # fmt: skip

FILE = """/*
title: Rows
description: How many rows.
display: scalar
parameters:
  day:
    type: date
    unset: the latest day
    description: The day.
*/
select ':day', "a:b", '100%' -- :day and 5%
from marts.rows
where day = cast(:day as date) and x::text like 'a%' and f(a[1:2]) % 2 = 1
"""


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ask", *arguments])


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_have_the_promised_parameters_and_defaults(name: str) -> None:
    question = load_questions()[name]
    assert list(question.parameters) == list(QUESTIONS[name])
    assert question.bind({}) == QUESTIONS[name]


def test_statuses_and_ways_of_counting_are_choices() -> None:
    for question in load_questions().values():
        if "status" in question.parameters:
            assert question.parameters["status"].choices == ("complete", "any")
    counting = load_questions()["users-with-many-deposits"].parameters["counting"]
    assert counting.choices == ("to_date", "on_day")


def test_each_question_says_what_it_answers_from() -> None:
    assert [question.name for question in load_questions().values() if not question.data] == []


def test_only_placeholders_are_replaced() -> None:
    statement = parse_question("rows", FILE).statement
    assert statement == (
        "select ':day', \"a:b\", '100%%' -- :day and 5%%\n"
        "from marts.rows\n"
        "where day = cast(%(day)s as date) and x::text like 'a%%' and f(a[1:2]) %% 2 = 1"
    )


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("/*\n", "-- ", "does not begin with a /* comment */"),
        ("title: Rows\n", "", "title: Field required"),
        ("display: scalar", "display: pie", "display: Input should be"),
        ("unset: the latest day", "default_day: today", "default_day: Extra inputs"),
        ("    unset: the latest day\n", "", "needs either default or unset"),
        ("unset: the latest day", "default: soon", "parameters.day"),
        ("unset: the latest day", "default: 2022-02-30", "day is out of range for month"),
        ("cast(:day as date)", "cast(:days as date)", "placeholders differ: day, days"),
        ("title: Rows", "title: [", "expected"),
        ("type: date\n", "like: dya\n", "no common parameter 'dya': did you mean day?"),
        ("title: Rows", "1: Rows", "keywords must be strings"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(old: str, new: str, complaint: str) -> None:
    with pytest.raises(TerminalError, match=r"^question rows: ") as refused:
        parse_question("rows", FILE.replace(old, new, 1))
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_common_parameter_is_taken_as_it_is_or_with_a_difference() -> None:
    day = parse_question("rows", FILE).parameters["day"]
    text = FILE.replace("    type: date\n", "    like: day\n")
    assert parse_question("rows", text).parameters["day"] == day
    whole = text[: text.index("  day:")] + "  day: any_book\n" + text[text.index("*/") :]
    assert parse_question("rows", whole).parameters["day"].unset == "all books"


DATE = Parameter(type="date", description="", unset="x")
INSTANT = Parameter(type="instant", description="", unset="x")
NATURAL = Parameter(type="integer", description="", default=5, minimum=0)
TEXT = Parameter(type="text", description="", unset="x")
CHOICE = Parameter(type="text", description="", default="any", choices=("complete", "any"))


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (DATE, "2020-02-29", date(2020, 2, 29)),
        (INSTANT, "2020-02-29", date(2020, 2, 29)),
        (INSTANT, "2022-04-30T04:10:26Z", "2022-04-30T04:10:26+00:00"),
        (INSTANT, "2022-04-30 04:10", "2022-04-30T04:10:00+00:00"),
        (INSTANT, "2022-04-30T04:10:26.5-06:00", "2022-04-30T10:10:26.500000+00:00"),
        (NATURAL, "0", 0),
        (NATURAL, "+007", 7),
        (TEXT, "'; drop table users; --", "'; drop table users; --"),
        (CHOICE, "any", "any"),
    ],
)
def test_good_values(parameter: Parameter, text: str, value: object) -> None:
    assert parameter.parse(text) == value


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        *((DATE, text) for text in ("", "tomorrow", "2022-02-30", "20220101", "2022-01-01T00:00")),
        *((DATE, text) for text in ("2022-1-1", " 2022-01-01", "٢٠٢٢-01-01", "2022-W01-1")),
        *((INSTANT, text) for text in ("", "now", "infinity", "2022-04-30T25:00", "2022-04-30T")),
        (INSTANT, "0001-01-01T00:00+05:00"),
        *((NATURAL, text) for text in ("", "-1", "1.0", "1e3", "x", "٣", "9" * 19)),
        *((TEXT, text) for text in ("", "a\0b", "\udcff")),
        *((CHOICE, text) for text in ("", "Any", "complet")),
    ],
)
def test_bad_values(parameter: Parameter, text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parameter.parse(text)


def _period() -> Question:
    return load_questions()["login-count"]


def test_a_period_must_not_end_before_it_begins() -> None:
    for first, last in [
        ("2022-01-02", "2022-01-01"),
        ("2022-01-01T00:00:00.5Z", "2022-01-01T00:00Z"),
        ("2022-01-01T00:00Z", "2022-01-01T00:00+01:00"),
    ]:
        with pytest.raises(UsageError, match="from must not be after to"):
            _period().bind({"from": first, "to": last})
    _period().bind({"from": "2022-01-01", "to": "2022-01-01"})
    _period().bind({"from": "2022-01-01T00:00Z", "to": "2022-01-01T00:00:00.5Z"})


def test_an_unknown_parameter_is_named_with_its_nearest() -> None:
    with pytest.raises(UsageError, match="no parameter 'form': did you mean from"):
        _period().bind({"form": "2022-01-01"})


def test_nothing_is_suggested_when_nothing_is_near() -> None:
    assert nearest("zzzzzz", ["complete", "any"]) == ""
    assert nearest("ANYY", ["complete", "any"]) == ": did you mean any?"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["actve-users"], "no such question: actve-users: did you mean active-users?"),
        (["zzzzzzz"], "no such question: zzzzzzz: `dashboards ask` lists them"),
        (["active-users", "--sttus", "any"], "no such option: --sttus: did you mean --status?"),
        (["active-users", "--channel", "any"], "no such option: --channel"),
        (
            ["active-users", "--status", "complet"],
            "active-users: status must be complete or any, not 'complet': did you mean complete?",
        ),
        (
            ["active-users", "--day", "2022-02-30"],
            f"active-users: day must be a date like 2022-04-30, {EXPECTED}, not '2022-02-30'",
        ),
        (
            ["users-with-many-deposits", "--more-than", "-1"],
            (
                "users-with-many-deposits: more_than must be a whole number of 0 or more, "
                "of at most 9 digits, not '-1'"
            ),
        ),
        (
            ["threshold-backtest", "--min-observations", "1" * 10],
            (
                "threshold-backtest: min_observations must be a whole number of 1 or more, "
                "of at most 9 digits, not '1111111111'"
            ),
        ),
        (["last-login", "--user-id"], "Option '--user-id' requires an argument."),
        (["last-login", "somebody"], "Got unexpected extra argument (somebody)"),
    ],
)
def test_a_wrong_call_gets_one_line_and_exit_code_2(arguments: list[str], complaint: str) -> None:
    result = ask(*arguments)
    assert result.stderr == f"dashboards: {complaint}\n"
    assert result.stdout == ""
    assert result.exit_code == 2


def test_the_questions_are_listed() -> None:
    result = ask("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(load_questions())


def test_without_a_name_the_questions_are_listed_by_who_asks_them() -> None:
    result = ask()
    assert result.exit_code == 0
    groups: dict[str, list[str]] = {}
    for line in result.stdout.splitlines()[:-2]:
        if line.startswith(" "):
            list(groups.values())[-1].append(line.split()[0])
        else:
            groups[line.removesuffix(":")] = []
    assert list(groups) == list(GROUPS)
    assert sorted(chain(*groups.values())) == sorted(load_questions())
    assert all(name in groups["users"] for name in ("active-users", "login-count"))
    assert all(name in groups["markets"] for name in ("spread-now", "spread-alerts"))


def test_help_says_parameters_and_defaults() -> None:
    text = " ".join(ask("users-with-many-deposits", "--help").stdout.split())
    assert "--more-than INTEGER" in text
    assert "--counting to_date|on_day" in text
    assert "[default: the latest day with a deposit]" in text
    assert "[default: 5]" in text
