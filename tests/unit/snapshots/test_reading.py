"""Reading snapshot files: the fast grammar, the exact parser and a reference reader agree."""

import csv
import gzip
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.snapshots import grammar, reading
from loader.snapshots.grammar import KINDS, NULL_WORDS, parse_record
from loader.snapshots.header import recognise
from loader.snapshots.reading import KEPT_BYTES, BadRow, ExactRow, SnapshotFile, Span
from loader.snapshots.rows import SeenIds
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import RefusedError, TransientError
from loader.warehouse.text import readable
from loader.warehouse.values import BadValueError
from tests.snapshot_files import HEADERS, content, good_rows

type_of = {
    column: field
    for field, columns in {
        "id": ("id",),
        "level": ("level",),
        "time": ("event_timestamp",),
        "amount": ("amount",),
        "text": ("user_id", "currency", "tx_status", "interface", "event_name", "jurisdiction"),
    }.items()
    for column in columns
}


class Read(NamedTuple):
    """What was read of a file: the good rows' values and the bad rows' texts, by line."""

    good: dict[int, dict[str, object]]
    bad: dict[int, str]


# --- the reference: slow, simple, and nothing taken from the loader ----------------------------


def reference_value(kind_of_value: str, value: str) -> object:
    """The value as Python has it. Raises ValueError when it is a bad one."""
    if kind_of_value in {"id", "level"}:
        largest = {"id": 9223372036854775807, "level": 2147483647}[kind_of_value]
        if set(value) <= set("0123456789") and 0 < len(value) <= 19 and int(value) <= largest:
            return int(value)
    elif kind_of_value == "amount":
        if value == "":
            return None
        if set(value) <= set("+-.eE0123456789"):
            number = Decimal(value)
            _, _, decimals = format(number, "f").partition(".")
            if abs(number) < 10**20 and len(decimals.rstrip("0")) <= 18 and len(value) <= 100:
                return number
    elif kind_of_value == "time":
        if 2 <= datetime.fromisoformat(value).year <= 9998:
            return value
    elif value.strip() and len(value.encode()) <= 1000 and not is_null_word(value):
        return value
    raise ValueError(value)


def is_null_word(value: str) -> bool:
    word = value.strip()
    return word == "\\N" or word.lower() in {"null", "none", "nan", "n/a"}


def reference_read(text: str) -> Read:
    """Read a whole file with the csv module."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    reader = csv.reader(lines)
    columns = next(reader)
    good: dict[int, dict[str, object]] = {}
    bad: dict[int, str] = {}
    first = reader.line_num
    for values in reader:
        raw = "".join(lines[first : reader.line_num]).rstrip("\r\n")
        line, first = first + 1, reader.line_num
        if not raw.strip(" \t\r\n"):
            continue
        try:
            good[line] = {
                column: reference_value(type_of[column], value)
                for column, value in zip(columns, values, strict=True)
            }
        except (ValueError, ArithmeticError):
            bad[line] = raw
    return Read(good, bad)


# --- the loader's answer in the same form ------------------------------------------------------


def from_copy(text: bytes) -> list[str | None]:
    """One line of COPY's text format, comma-separated, as Postgres reads it."""
    fields: list[str | None] = []
    for field in re.findall(rb"((?:\\.|[^,\\])*)(?:,|$)", text, re.DOTALL)[: text.count(b",") + 1]:
        plain = re.sub(
            rb"\\(.)",
            lambda found: {b"n": b"\n", b"r": b"\r"}.get(found[1], found[1]),
            field,
            flags=re.DOTALL,
        )
        fields.append(plain.decode() if field else None)
    return fields


def as_values(columns: tuple[str, ...], fields: list[str | None]) -> dict[str, object]:
    """The fields with Postgres's types, as far as equality goes."""
    types = {"id": int, "level": int, "amount": Decimal}
    return {
        column: None if value is None else types.get(type_of[column], str)(value)
        for column, value in zip(columns, fields, strict=True)
    }


@contextmanager
def small_chunks(size: int) -> Iterator[None]:
    """Files are read so many bytes at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_BYTES", size)
        yield


def loader_read(path: Path, chunk: int) -> Read:
    good: dict[int, dict[str, object]] = {}
    bad: dict[int, str] = {}
    with small_chunks(chunk), closing(SnapshotFile(path)) as file:
        for record in file.records():
            if isinstance(record, BadRow):
                bad[record.line] = record.raw
            elif isinstance(record, ExactRow):
                fields = from_copy(record.text)[: len(file.columns)]
                good[record.line] = as_values(file.columns, fields)
            else:
                assert b"\\" not in record.lines
                for line, row in enumerate(record.lines.split(b"\n")[:-1], record.first_line):
                    plain = [field or None for field in row.decode().split(",")]
                    good[line] = as_values(file.columns, plain)
    return Read(good, bad)


# --- generated files ---------------------------------------------------------------------------

VALUES = {
    "id": ["1", "42", "007", "9223372036854775807", "9223372036854775808", "-1", "+5", "1.0", "x",
           "", "٣", "123456789012345678", "1234567890123456789", "1 "],
    "level": ["1", "4", "2147483647", "2147483648", "-1", "two", "", "0"],
    "amount": ["", "0", "0.0", "0.0000000000000000000000", "-0", "1.0", "1.00", "-12.5", "+3", ".5",
               "5.", "1e3", "1E-18", "1e-19", "0.123456789012345678", "0.1234567890123456789",
               "99999999999999999999", "100000000000000000000", "1.00000000000000000000000",
               "NaN", "Infinity", "-inf", "1e400", "1e9999", "1,5", "$3", " 1", "1_000", "٣",
               "0x10", "--1", ".", "-", "e5", "0e5", "12345678901234567890.123456789012345678"],
    "time": ["2023-08-23 10:00:00+00", "2023-08-23T10:00:00Z", "2023-08-23 10:00:00",
             "2023-08-23 10:00:00.1+00", "2023-08-23 10:00:00.123456-05:30",
             "2023-08-23 10:00:00+1400", "2024-02-29 00:00:00+00", "2000-02-29 00:00:00",
             "2023-02-29 00:00:00+00", "1900-02-29 00:00:00+00", "2023-13-01 00:00:00+00",
             "2023-04-31 00:00:00+00", "2023-08-23 24:00:00+00", "2023-08-23 10:60:00+00",
             "2023-08-23 23:59:60+00", "1850-01-01 00:00:00+00", "0001-01-01 00:00:00",
             "9999-12-31 23:59:59.999999+00", "0000-01-01 00:00:00", "now", "today", "infinity",
             "-infinity", "epoch", "", "23/08/2023 10:00"],
    "text": ["u", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "mxn", "naïve 日本", "a,b", 'say "hi"', '"',
             "two\nlines", "two\r\nlines", "tab\there", "\\N", "\\.", "back\\slash", " padded ", "",
             "  ", "=1+1", "@SUM(A1)", "'; drop table raw.deposits; --", "\u2028", "x" * 250,
             "x" * 1001, "é" * 501, "\x01\x7f", "NULL", "\n", "null", "None", "NaN ", "n/A", " nAn",
             "NULLS", "nullable", "Nonesuch", "NANO", "nan1", "N/A-1", "\\n", "none of it"],
}  # fmt: skip
COMMON = {
    "id": ["1", "22", "333"],
    "level": ["1", "2"],
    "amount": ["", "1.5", "-2"],
    "time": ["2023-01-02 03:04:05.6+00", "2023-01-02 03:04:05"],
    "text": ["u1", "mxn", "complete"],
}


@st.composite
def fields(draw: st.DrawFn, column: str) -> str:
    """A field as it stands in the file: mostly plain, quoted where CSV wants it or at random."""
    odd = draw(st.integers(0, 5)) == 0
    value = draw(st.sampled_from((VALUES if odd else COMMON)[type_of[column]]))
    # A quote inside an unquoted field is a character like any other.
    needs_quotes = re.search(r'[,\r\n]|^"', value) is not None
    if needs_quotes or draw(st.integers(0, 9)) == 0:
        return '"' + value.replace('"', '""') + '"'
    return value


@st.composite
def files(draw: st.DrawFn) -> str:
    """A whole file: a kind, its columns in some order, rows of all sorts."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    columns = draw(st.permutations(list(KINDS[kind])))
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        row = [draw(fields(column)) for column in columns]
        shape = draw(st.integers(0, 11))
        if shape == 0 and not any("\n" in field for field in row):
            row = row[:-1] if draw(st.booleans()) and len(row) > 1 else [*row, "more"]
        rows.append(draw(st.sampled_from(["", "  ", "\t"])) if shape == 1 else ",".join(row))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join([",".join(columns), *rows])
    return text + (end if draw(st.booleans()) else "")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "generated.csv"


generated = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@generated
@given(text=files(), chunk=st.sampled_from([1, 2, 3, 5, 8, 13, 21, 34, 64, 1 << 18]))
def test_a_file_reads_as_the_csv_module_reads_it_wherever_the_chunks_end(
    scratch: Path, text: str, chunk: int
) -> None:
    scratch.write_bytes(text.encode())
    assert loader_read(scratch, chunk) == reference_read(text)


@generated
@given(
    body=st.lists(
        st.sampled_from([b"1", b",", b'"', b"\n", b"\r\n", b"\r", b" ", b"a", b"\0", b"\xff"]),
        max_size=60,
    ).map(b"".join),
    kind=st.sampled_from(["users", "events"]),
    chunk=st.sampled_from([1, 3, 7, 1 << 18]),
)  # fmt: skip
def test_no_byte_is_lost_whatever_a_file_holds(
    scratch: Path, body: bytes, kind: str, chunk: int
) -> None:
    scratch.write_bytes(content(kind, []) + body)
    texts = []
    with small_chunks(chunk), closing(SnapshotFile(scratch)) as file:
        for record in file.records():
            if isinstance(record, Span):
                texts.append(readable(record.lines))
            else:
                texts.append(readable(record.raw) if isinstance(record, ExactRow) else record.raw)
    read = [line for text in texts for line in text.split("\n")]
    written = readable(body).split("\n")
    assert [line.rstrip("\r") for line in read if line.strip()] == [
        line.rstrip("\r") for line in written if line.strip(" \r\n")
    ]


def fast_values(field: grammar.Field) -> st.SearchStrategy[str]:
    """What the fast grammar of a field accepts."""
    greedy = re.sub(r"(?<=[?+*}])\+", "", field.grammar.decode())
    return st.from_regex(re.compile(greedy, re.ASCII), fullmatch=True)


@pytest.mark.parametrize(
    ("kind", "column"), [(kind, column) for kind in KINDS for column in KINDS[kind]]
)
def test_what_the_fast_grammar_lets_pass_the_exact_parser_takes(kind: str, column: str) -> None:
    field = KINDS[kind][column]

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(value=fast_values(field))
    def agree(value: str) -> None:
        assert re.fullmatch(field.grammar, value.encode())
        exact = field.parse(value)
        if type_of[column] == "amount" and value:
            assert Decimal(exact or "") == Decimal(value)
        else:
            assert exact == (value or None)

    agree()


# --- values ------------------------------------------------------------------------------------

DEPOSIT = ("id", "event_timestamp", "user_id", "amount", "currency", "tx_status")


def parsed(column: str, value: str) -> str | None:
    """The value that Postgres gets for one field of a deposit."""
    good = ["1", "2023-01-02 03:04:05+00", "u", "1", "mxn", "complete"]
    good[DEPOSIT.index(column)] = value
    return parse_record("deposits", DEPOSIT, ",".join(good).encode())[DEPOSIT.index(column)]


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("id", "", "missing_value"),
        ("id", "1.0", "bad_number"),
        ("id", "-1", "bad_number"),
        ("id", "9223372036854775808", "bad_number"),
        ("user_id", "", "missing_value"),
        ("user_id", " ", "missing_value"),
        ("user_id", "x" * 1001, "too_long"),
        *(
            (column, word.upper(), "null_word")
            for word in sorted(NULL_WORDS)
            for column in ("id", "event_timestamp", "user_id", "currency", "tx_status")
        ),
        ("amount", "NULL", "bad_number"),
        ("amount", "NaN", "bad_number"),
        ("amount", "Infinity", "bad_number"),
        ("amount", "-inf", "bad_number"),
        ("amount", "1e400", "bad_number"),
        ("amount", "1e99999999999", "bad_number"),
        ("amount", "0.1234567890123456789", "bad_number"),
        ("amount", "100000000000000000000", "bad_number"),
        ("amount", "1_000", "bad_number"),
        ("amount", " ", "bad_number"),
        ("amount", "٣", "bad_number"),
        ("event_timestamp", "", "missing_value"),
        ("event_timestamp", "now", "bad_time"),
        ("event_timestamp", "today", "bad_time"),
        ("event_timestamp", "infinity", "bad_time"),
        ("event_timestamp", "-infinity", "bad_time"),
        ("event_timestamp", "2023-01-02", "bad_time"),
        ("event_timestamp", "20230102T030405", "bad_time"),
        ("event_timestamp", "2023-02-29 00:00:00+00", "bad_time"),
        ("event_timestamp", "2023-01-02 24:00:00+00", "bad_time"),
        ("event_timestamp", "2023-01-02 03:04:60+00", "bad_time"),
        ("event_timestamp", "2023-01-02 03:04:05+15", "bad_time"),
        ("event_timestamp", "2023-01-02 03:04:05+00:60", "bad_time"),
        ("event_timestamp", "2023-01-02 03:04:05.1234567+00", "bad_time"),
        ("event_timestamp", "2023-01-02 03:04:05 America/Mexico_City", "bad_time"),
        ("event_timestamp", "2023-01-02 03:04:05+00 BC", "bad_time"),
    ],
)
def test_a_bad_value_is_named_with_its_column_and_reason_code(
    column: str, value: str, code: str
) -> None:
    with pytest.raises(BadValueError) as caught:
        parsed(column, value)
    assert caught.value.code == code
    assert column in caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize(
    ("value", "postgres"),
    [
        ("", None),
        ("0.123456789012345678", "0.123456789012345678"),
        ("-6827677768780", "-6827677768780"),
        ("1E-8", "0.00000001"),
        ("2.5e3", "2500"),
        ("0.00000000000000000000000000", "0"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)
def test_an_amount_keeps_every_digit(value: str, postgres: str | None) -> None:
    assert parsed("amount", value) == postgres


# --- headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda header: header.encode(), id="plain"),
        pytest.param(lambda header: header.encode() + b"\n", id="line feed"),
        pytest.param(lambda header: header.encode() + b"\r\n", id="carriage return"),
        pytest.param(lambda header: b"\xef\xbb\xbf" + header.encode(), id="byte order mark"),
        pytest.param(
            lambda header: ",".join(f'"{name}"' for name in header.split(",")).encode(), id="quoted"
        ),
        pytest.param(
            lambda header: b'\xef\xbb\xbf"' + header.replace(",", '","').encode() + b'"\r\n',
            id="mark and quotes",
        ),
        pytest.param(lambda header: header.upper().encode(), id="upper case"),
        pytest.param(lambda header: header.replace(",", " ,\t").encode(), id="blanks"),
        pytest.param(lambda header: ",".join(reversed(header.split(","))).encode(), id="reordered"),
    ],
)
def test_a_file_is_known_by_its_header(kind: str, shape: object) -> None:
    assert callable(shape)
    layout = recognise("any name", shape(HEADERS[kind]), ColumnNames())
    assert layout.kind == kind
    assert sorted(layout.columns) == sorted(KINDS[kind])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("id,event_timestamp,user_id,amount,currency", ["missing column 'tx_status'", "deposits"]),
        ("id,event_timestamp,user_id,amount,currency,tx_status,fee", ["unknown column 'fee'"]),
        (
            "id,event_timestamp,user_id,amount,currency,status",
            ["unknown column 'status'", "missing column 'tx_status'", "deposits"],
        ),
        ("id,id,event_timestamp,user_id,event_name", ["repeated column 'id'"]),
        ("id;event_timestamp;user_id;event_name", ["'id;event_timestamp;", "comma"]),
        ("id\tevent_timestamp\tuser_id\tevent_name", ["'id\\tevent_timestamp", "comma"]),
        ("id|event_timestamp|user_id|event_name", ["'id|event_timestamp", "comma"]),
        ("id,event_timestamp,,event_name", ["unknown column ''", "missing column 'user_id'"]),
        ("ID,Event_Timestamp,id,event_name", ["repeated column 'id'"]),
        ("user", ["unknown column 'user'", "missing column 'user_id'", "users"]),
        ("level,user_id,jurisdiction", ["missing column 'event_timestamp'", "user_levels"]),
        ('user_id,"level', ["header"]),
        ("", ["blank"]),
    ],
)
def test_a_wrong_header_is_refused_with_the_file_and_the_column(
    header: str, words: list[str]
) -> None:
    with pytest.raises(RefusedError) as caught:
        recognise("march.csv", header.encode() + b"\n", ColumnNames())
    message = str(caught.value)
    assert message.startswith("march.csv: ")
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize(
    "header",
    ["\ufeffuser_id".encode("utf-16-le"), "user_id,niño".encode("latin-1"), b"user_id\ra\r"],
)
def test_a_first_line_in_another_encoding_is_refused(header: bytes) -> None:
    with pytest.raises(RefusedError, match=r"^a\.csv: the first line is not a CSV header in UTF-8"):
        recognise("a.csv", header, ColumnNames())


# --- files -------------------------------------------------------------------------------------


def records_of(path: Path) -> list[Span | ExactRow | BadRow]:
    with closing(SnapshotFile(path)) as file:
        return list(file.records())


def lines_of(records: list[Span | ExactRow | BadRow]) -> Iterator[tuple[int, bool]]:
    """Each line a record begins on, and whether it is good."""
    for record in records:
        if isinstance(record, Span):
            count = record.lines.count(b"\n")
            yield from (
                (line, True) for line in range(record.first_line, record.first_line + count)
            )
        else:
            yield record.line, isinstance(record, ExactRow)


@pytest.mark.parametrize(
    "stray",
    [
        pytest.param('3,2023-01-02 03:04:05+00,"u3,1,mxn,complete', id="opened, never closed"),
        pytest.param('"3,2023-01-02 03:04:05+00,u3,1,mxn,complete', id="in the first field"),
        pytest.param('3,2023-01-02 03:04:05+00,u3,1,mxn,"complete', id="in the last field"),
        pytest.param('3,"2023-01-02 03:04:05+00,u3,1,mxn,complete', id="where a time belongs"),
    ],
)
@pytest.mark.parametrize(
    "closing_row",
    [
        pytest.param(None, id="no other quote"),
        pytest.param('90,2023-01-02 03:04:05+00,"u 90",1,mxn,complete', id="a quoted row later"),
        pytest.param('90,2023-01-02 03:04:05+00",u90,1,mxn,complete', id="a stray quote later"),
        pytest.param('90,2023-01-02 03:04:05+00,u90",1,mxn,complete', id="closing as CSV would"),
    ],
)
def test_a_stray_quote_takes_no_good_line_along(
    tmp_path: Path, stray: str, closing_row: str | None
) -> None:
    path = tmp_path / "stray.csv"
    after = good_rows("deposits", 40, first=10)
    rows = [
        *good_rows("deposits", 2),
        stray,
        *after,
        *([closing_row] if closing_row else []),
        *after,
    ]
    path.write_bytes(content("deposits", rows))
    lines = dict(lines_of(records_of(path)))
    suspects = {4, 45} if closing_row else {4}
    assert sorted(lines) == list(range(2, len(rows) + 2))
    assert {line for line, is_good in lines.items() if not is_good} <= suspects
    assert not lines[4]


def test_a_stray_quote_at_the_end_of_a_large_file_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    rows = good_rows("deposits", 40_000)
    rows[20_000] = '20001,2023-01-02 03:04:05+00,"u,1,mxn,complete'
    path.write_bytes(content("deposits", rows))
    lines = list(lines_of(records_of(path)))
    assert [line for line, _ in lines] == list(range(2, 40_002))
    assert [line for line, is_good in lines if not is_good] == [20_002]


def test_a_quoted_text_may_hold_line_ends_and_the_next_line_keeps_its_number(
    tmp_path: Path,
) -> None:
    path = tmp_path / "quoted.csv"
    first, last = good_rows("events", 2)
    path.write_bytes(content("events", [first, '9,2023-01-02 03:04:05,"a\nb\n\nc",login', last]))
    records = records_of(path)
    assert list(lines_of(records)) == [(2, True), (3, True), (7, True)]
    assert isinstance(records[1], ExactRow)
    assert from_copy(records[1].text)[2] == "a\nb\n\nc"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("after", [[], ["u2", "u3"]])
def test_a_line_of_megabytes_is_one_bad_row_of_which_the_start_is_kept(
    tmp_path: Path, after: list[str], *, packed: bool
) -> None:
    path = tmp_path / "long.csv"
    data = content("users", ["u1"]) + b"x" * (5 << 20)
    data += b"".join(b"\n" + user.encode() for user in after)
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    records = records_of(path)
    [bad] = [each for each in records if isinstance(each, BadRow)]
    assert (bad.line, bad.code, bad.raw) == (3, "too_long", "x" * KEPT_BYTES + "…")
    assert [line for line, is_good in lines_of(records) if is_good] == [
        2,
        *range(4, 4 + len(after)),
    ]
    with closing(SnapshotFile(path)) as file:
        list(file.records())
        assert list(file.raw_rows(range(4, 4 + len(after)))) == after


def test_a_line_end_of_old_macs_is_told_as_one(tmp_path: Path) -> None:
    path = tmp_path / "mac.csv"
    path.write_bytes(content("users", ["u1", "u2\ru3", '"u4\ru5"']))
    [bad] = [each for each in records_of(path) if isinstance(each, BadRow)]
    assert (bad.line, bad.code) == (3, "malformed")
    assert bad.reason.startswith("a line end of old Macs (CR without LF) stands in the row")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda data: data[: len(data) // 2], "half-written", id="half-written"),
        pytest.param(lambda data: data[:-3], "half-written", id="without its last bytes"),
        pytest.param(lambda data: data[:5], "half-written", id="cut in its own header"),
        pytest.param(
            lambda data: data[:-8] + bytes(8), "damaged", id="another checksum than its content"
        ),
        pytest.param(
            lambda data: data[:2000] + bytes(200) + data[2200:], "damaged", id="zeros in the middle"
        ),
        pytest.param(lambda data: data + b"garbage", "damaged", id="garbage behind it"),
    ],
)
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: object, message: str) -> None:
    assert callable(damage)
    path = tmp_path / "users.csv.gz"
    path.write_bytes(damage(gzip.compress(content("users", good_rows("users", 20_000)))))
    with pytest.raises(RefusedError, match=rf"^users\.csv\.gz: .*{message}"):
        records_of(path)


def test_plain_and_gzipped_content_are_the_same_content_whatever_the_name(tmp_path: Path) -> None:
    data = content("users", good_rows("users", 1000))
    shapes = {
        "plain.csv": data,
        "packed.csv.gz": gzip.compress(data),
        "packed.csv": gzip.compress(data),
        "plain.csv.gz": data,
        "two members.gz": gzip.compress(data[:99]) + gzip.compress(data[99:]),
    }
    digests = set()
    for name, shape in shapes.items():
        (tmp_path / name).write_bytes(shape)
        with closing(SnapshotFile(tmp_path / name)) as file:
            assert sum(1 for _ in lines_of(list(file.records()))) == 1000
            digests.add((file.sha256, file.content_bytes))
    assert len(digests) == 1


def test_a_file_that_changes_while_it_is_read_is_no_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "busy.csv"
    path.write_bytes(content("users", good_rows("users", 10)))
    with closing(SnapshotFile(path)) as file:
        records = file.records()
        next(records)
        with path.open("ab") as other:
            other.write(b"user11\n")
        with pytest.raises(TransientError, match=r"busy\.csv: the file changed"):
            list(records)


def test_raw_rows_are_those_of_the_content_that_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = ["u1", '"quoted ""u2"""', "u3", "", "u5"]
    path.write_bytes(content("users", rows, end=b"\r\n"))
    with closing(SnapshotFile(path)) as file:
        list(file.records())
        assert list(file.raw_rows([2, 3, 6])) == ["u1", '"quoted ""u2"""', "u5"]
        other = tmp_path / "other.csv"
        other.write_bytes(content("users", ["v1", '"quoted ""v2"""', "v3", "", "v5"], end=b"\r\n"))
        other.replace(path)
        with pytest.raises(TransientError, match="the file changed"):
            list(file.raw_rows([2, 3, 6]))


def test_a_file_name_that_is_no_text_is_still_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\n\udcff.csv"
    path.write_bytes(content("users", ["u1"]))
    with closing(SnapshotFile(path)) as file:
        assert file.name == "a\\n\\xff.csv"


# --- ids that come twice -----------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(
    batches=st.lists(
        st.lists(st.one_of(st.integers(0, 40), st.integers(0, 2**63 - 1)), max_size=8), max_size=6
    )
)
def test_every_repeated_id_is_found_or_left_to_postgres(batches: list[list[int]]) -> None:
    seen = SeenIds()
    for batch in batches:
        if seen.is_complete:
            seen.add(batch)
    ids = [number for batch in batches for number in batch]
    assert seen.is_complete == (max(ids, default=0) < SeenIds.LARGEST)
    if seen.is_complete:
        assert seen.repeated == {number for number in ids if ids.count(number) > 1}


def test_too_many_repeats_are_left_to_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeenIds, "MOST_REPEATED", 2)
    seen = SeenIds()
    seen.add([1, 2, 3, 1, 2, 3])
    seen.add([4])
    assert not seen.is_complete


def test_the_search_for_repeated_ids_stays_within_its_memory() -> None:
    seen = SeenIds()
    for number in (0, SeenIds.LARGEST // 2, SeenIds.LARGEST - 2, SeenIds.LARGEST - 1):
        seen.add([number])
    assert seen.is_complete
    assert len(seen._seen) == SeenIds.LARGEST
