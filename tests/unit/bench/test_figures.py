"""What is made of the measurements, without any measuring."""

import pytest

from loader.warehouse.errors import UsageError
from tests.bench.figures import (
    FIGURES,
    Spread,
    Table,
    alone,
    chosen,
    compared,
    in_turn,
    ratios,
    spread,
)  # fmt: skip

KNOWN = ("help", "status", "load")


def run(value: float) -> dict[str, float]:
    """A run in which every figure is the same."""
    return {figure.key: value for figure in FIGURES}


def test_the_spread_is_the_median_between_the_ends() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3)
    assert spread([1.0]) == Spread(1, 1, 1)


@pytest.mark.parametrize(("values", "is_wide"), [([1, 1.1, 1.2], False), ([1, 1.1, 1.3], True)])
def test_wide_is_more_than_a_fifth_of_the_median(values: list[float], is_wide: bool) -> None:
    assert spread(values).is_wide is is_wide


def test_ratios_are_of_the_runs_side_by_side() -> None:
    # The machine became twice as slow: the pairs agree though the medians alone would not.
    assert ratios([1, 2, 2], [2, 4, 4]) == [0.5, 0.5, 0.5]


def test_a_pair_with_nothing_to_divide_by_has_no_ratio() -> None:
    assert ratios([1, 0.5], [0, 1]) == [0.5]


def test_runs_take_turns() -> None:
    order: list[str] = []

    def note(name: str) -> int:
        order.append(name)
        return len(order)

    done = in_turn({"a": lambda: note("a"), "b": lambda: note("b")}, 2)
    assert order == ["a", "b", "a", "b"]
    assert done == {"a": [1, 3], "b": [2, 4]}


def test_who_needs_what_is_not_installed_is_left_out() -> None:
    def missing() -> int:
        raise ModuleNotFoundError

    assert in_turn({"a": missing, "b": lambda: 1}, 2) == {"b": [1, 1]}


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ([], ["help", "status", "load"]),
        (["status"], ["status"]),
        (["load,help"], ["help", "load"]),
        (["load", " help "], ["help", "load"]),
        ([""], ["help", "status", "load"]),
    ],
)
def test_parts_are_named(asked: list[str], names: list[str]) -> None:
    assert chosen(asked, KNOWN) == names


def test_against_a_commit_all_means_all_that_can_be_compared() -> None:
    assert chosen([], KNOWN, ("help", "status")) == ["help", "status"]


def test_an_unknown_part_is_told_in_one_line_with_the_names() -> None:
    with pytest.raises(UsageError, match=r"^no such part: x: there are help, status, load$"):
        chosen(["help", "x"], KNOWN)


def test_a_baseline_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match=r"^load is measured against .* there are help, status$"):
        chosen(["load"], KNOWN, ("help", "status"))


def test_a_table_is_aligned_under_its_title() -> None:
    table = Table("Title", [("a", "1"), ("long", "22")], {"x": [1]}, ["a note"])
    assert str(table) == "\nTitle\n  a     1\n  long  22\n  a note\n"
    assert table.as_json() == {
        "title": "Title", "rows": [["a", "1"], ["long", "22"]], "figures": {"x": [1]},
        "notes": ["a note"],
    }  # fmt: skip


def test_two_versions_side_by_side() -> None:
    table = compared("status", [run(2), run(4)], [run(1), run(2)])
    assert table.title == "status, 2 runs of each in turn"
    name, *cells = table.rows[1]
    assert name == "wall-clock seconds"
    assert cells == ["3.000", "1.500", "0.50", "0.50", "0.50", "2 of 2"]
    assert table.figures["ratios"] == {
        figure.key: {"median": 0.5, "least": 0.5, "most": 0.5} for figure in FIGURES
    }
    assert not table.notes


def test_a_wide_spread_is_said() -> None:
    [first, second] = compared("status", [run(1), run(1)], [run(1), run(2)]).notes
    assert first.startswith("the ratios of the wall-clock seconds spread wide (1.00 to 2.00): ")
    assert second.startswith("the ratios of the CPU seconds of the command spread wide")
    [note] = alone("status", [run(1), run(2)]).notes
    assert note.startswith("the seconds spread wide (1.00 to 2.00): ")


def test_what_was_too_little_to_measure_has_no_ratio() -> None:
    assert compared("help", [run(0)], [run(0)]).rows[1][3:] == ("-", "-", "-", "-")
    rows = {row[0]: row[1:] for row in compared("help", [run(0.05)], [run(0.05)]).rows}
    assert rows["CPU seconds of the server"] == ("0.05", "0.05", "-", "-", "-", "-")
    assert rows["CPU seconds of the command"][2] == "1.00"


def test_a_version_alone() -> None:
    table = alone("help", [run(1)])
    assert table.title == "help, 1 run"
    assert table.rows[1] == ("wall-clock seconds", "1.000", "1.000", "1.000")
    assert not table.notes
