"""Stretches of lines that nothing covers."""

from tests.uncovered import Stretch, stretches


def test_statements_in_a_row_are_one_stretch_whatever_lies_between_them() -> None:
    files = {
        "a.py": {"executed_lines": [1, 9], "missing_lines": [2, 5, 7, 12]},
        "b.py": {"executed_lines": [], "missing_lines": [3, 4, 5, 6]},
        "c.py": {"executed_lines": [1, 2], "missing_lines": []},
    }
    assert stretches(files) == [
        Stretch(4, "b.py", 3, 6), Stretch(3, "a.py", 2, 7), Stretch(1, "a.py", 12, 12),
    ]  # fmt: skip


def test_a_stretch_says_where_it_is() -> None:
    assert str(Stretch(3, "a.py", 2, 7)) == "   3 statements  a.py:2-7"
