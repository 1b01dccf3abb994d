"""`--columns`: their names of columns, and ours."""

import pytest

from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import UsageError

KNOWN = ("bid", "ask", "book")


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("compra=bid,venta=ask", {"compra": "bid", "venta": "ask"}),
        (" Compra = BID , event_date= ,", {"compra": "bid", "event_date": None}),
        ('"a,b=bid"', {"a,b": "bid"}),
        ("a=b=bid", {"a=b": "bid"}),
        ("=,compra=bid", {"": None, "compra": "bid"}),
        ("", {}),
    ],
)
def test_what_is_typed_is_read(text: str, ours: dict[str, str | None]) -> None:
    assert ColumnNames.parse(text, KNOWN).ours == ours


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compra", "--columns: 'compra' is not THEIRS=OURS, nor THEIRS= to leave a column out"),
        ("=bid", "'=bid' is not THEIRS=OURS"),
        ("a=bid,A=ask", "'a' is named twice"),
        ("a=bids", "'bids' is no column here: did you mean bid?"),
        ("a=qqqqqq", "'qqqqqq' is no column here: ask, bid, book"),
        ('"a=bid', "the quotes do not close"),
        ("\x1b[31m" + "x" * 99, r"'\x1b[31mx"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ColumnNames.parse(text, KNOWN)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 150


def test_a_header_is_compared_without_case_and_what_stands_around_the_names() -> None:
    names = ColumnNames.parse("compra=bid,event_date=")
    header = ["\ufeffBOOK", " Compra ", '"venta"', "EVENT_DATE", "more"]
    assert names.rename(header) == ["book", "bid", "venta", None, "more"]
    assert ColumnNames().rename(header) == ["book", "compra", "venta", "event_date", "more"]
