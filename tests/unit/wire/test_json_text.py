"""JSON with its own text: what is read is what `json` reads, and the text is the body's."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.wire.json_text import (
    DEEPEST,
    MOST_ITEMS,
    MOST_VALUES,
    ShapeError,
    items_at,
    read_json,
    value_at,
)

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 1]))
def test_it_reads_what_json_reads(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert value_at(text) == (text, value, value_at(text).flaw)
    wrapped = f' {{"other": [1, {{}}], "here" : {text} , "after": null}} '
    assert value_at(wrapped, "here")[:2] == (text, value)


@given(st.lists(VALUES, max_size=5))
def test_items_are_slices(values: list[Any]) -> None:
    text = json.dumps({"payload": values})
    items = items_at(text, "payload")
    assert [item.data for item in items] == values
    assert ", ".join(item.text for item in items) == text[len('{"payload": [') : -2]


@given(st.text('{}[],:"1a \\', max_size=12))
def test_what_json_refuses_is_refused(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ShapeError):
            read_json(text)
        for read in (value_at, items_at):
            with pytest.raises(ShapeError):
                read(text, "a")
    else:
        assert read_json(text) == expected


def test_the_last_of_equal_keys_counts() -> None:
    assert value_at('{"a": 1, "a": 2, "b": 3}', "a").data == 2


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('{"b": 1}', "a", "there is no a"),
        ("[1]", "a", "there is no a"),
        ("", None, "not JSON"),
        ('{"a": 1', "a", "not JSON: the end is missing"),
        ('{"a": 1}}', "a", "not JSON: text after the value"),
        ('{"a": 1,}', "a", "not JSON: nothing after the comma"),
        ('{"a" 1}', "a", "not JSON: no : at"),
        ("[" * 100_000, None, "nested too deeply"),
    ],
)
def test_what_is_amiss_is_said(text: str, key: str | None, reason: str) -> None:
    with pytest.raises(ShapeError, match=reason):
        value_at(text, key)


def test_items_of_what_is_no_array() -> None:
    with pytest.raises(ShapeError, match="not an array"):
        items_at('{"a": {}}', "a")


@pytest.mark.parametrize("text", ["0.1", "1e-7", "12345678901234567890.000000000000000001"])
def test_no_number_passes_through_a_float(text: str) -> None:
    assert value_at(text).data == Decimal(text)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("NaN", "NaN is not a JSON value"),
        ("[-Infinity]", "-Infinity is not a JSON value"),
        ("1e99999999999999999999", "digits"),
        ("1e-2000", "digits"),
        ("9" * 6000, "digits"),
        (r'"\u0000"', "character"),
        (r'{"\ud800": 1}', "character"),
        (r'{"a": ["\udc00"]}', "character"),
        (r'"\\u0000"', None),
        (r'"\ud83d\ude00"', None),
        ("0e-5000", None),
    ],
)
def test_what_postgres_would_refuse_is_known(text: str, flaw: str | None) -> None:
    found = value_at(text).flaw
    assert (flaw in found) if flaw and found else found == flaw


@pytest.mark.parametrize("text", ["9" * 6000, "1e-2000", "1e99999999999999999999"])
def test_a_reply_that_is_no_value_says_why(text: str) -> None:
    with pytest.raises(ShapeError, match="a number of over 1000 digits"):
        read_json(text)
    assert read_json("null") is None
    # Of an array each item is looked at by itself.
    assert read_json(f"[{text}]") == [None]


def test_a_flaw_belongs_to_its_item_alone() -> None:
    items = items_at("[1, NaN, 2]")
    assert [item.flaw is None for item in items] == [True, False, True]


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# What stands around, and how many levels it adds.
@pytest.mark.parametrize(
    ("before", "after", "levels"),
    [("", "", 0), ('{"payload": ', "}", 1), ('["[[{", ', "]", 1), ('[{"a": [1], "b": ', "}]", 2)],
)
def test_a_text_is_as_deep_as_it_may_be_and_no_deeper(before: str, after: str, levels: int) -> None:
    assert read_json(before + nested(DEEPEST - levels) + after)
    with pytest.raises(ShapeError, match="nested too deeply"):
        read_json(before + nested(DEEPEST - levels + 1) + after)


@pytest.mark.parametrize(
    "text",
    [
        f"[{','.join(['1'] * MOST_VALUES)}]",
        f"[{','.join(['{}'] * (MOST_VALUES // 2))}]",
        "[" * (MOST_VALUES + 1),
        f'{{"payload": [{",".join(["[]"] * (MOST_VALUES // 2))}]}}',
    ],
    ids=["numbers", "objects", "brackets", "within"],
)
def test_a_text_of_too_many_values_is_refused_before_it_is_read(text: str) -> None:
    for read in (read_json, lambda text: value_at(text, "payload"), items_at):
        with pytest.raises(ShapeError, match=f"over {MOST_VALUES:,} values"):
            read(text)
    # In one text fewer they are read.
    assert len(read_json(f"[{','.join(['1'] * (MOST_VALUES - 1))}]")) == MOST_VALUES - 1


def test_an_array_has_as_many_items_as_it_may_and_no_more() -> None:
    assert len(items_at(f"[{','.join(['1'] * MOST_ITEMS)}]")) == MOST_ITEMS
    with pytest.raises(ShapeError, match=f"over {MOST_ITEMS:,} records in one reply"):
        items_at(f"[{','.join(['1'] * (MOST_ITEMS + 1))}]")
