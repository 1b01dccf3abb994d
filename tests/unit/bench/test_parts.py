"""The parts are data: what must hold of each entry."""

import shlex
from pathlib import Path

import pytest

from tests.bench.parts import COMPARABLE, NAMES, PARTS, Part, Typed


def test_names_are_each_once_and_can_be_typed() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(name == shlex.quote(name) and "," not in name for name in NAMES)
    assert set(COMPARABLE) < set(NAMES)


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_the_quick_form_is_the_same_but_smaller(part: Part) -> None:
    assert part.quick.keys() == part.full.keys()
    assert all(part.quick[name] <= number for name, number in part.full.items())


@pytest.mark.parametrize("part", [p for p in PARTS if isinstance(p, Typed)], ids=COMPARABLE)
def test_all_that_is_typed_can_be_filled_in(part: Typed) -> None:
    files = {"files": Path("files")} if part.files else {}
    for typed in (*part.before, part.command):
        typed.format(tree=Path("tree"), here=Path("here"), **files, **part.full)
    assert part.title.format(**part.full, seconds=part.seconds)
