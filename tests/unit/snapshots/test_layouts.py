"""Files of other programs: their encodings, line ends, columns and blanks."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from loader.snapshots import reading
from loader.snapshots.reading import BadRow, ExactRow, SnapshotFile
from loader.warehouse.columns import ColumnNames
from loader.warehouse.errors import RefusedError
from tests.packing import PACKED

LINES = (
    "id,event_timestamp,user_id,amount,currency,tx_status",
    "1,2023-01-02 03:04:05,ñu日,1.5,mxn,complete",
    '2,2023-01-02 03:04:05,"u,""2""",,mxn,complete',
    "3,yesterday,u3,1.5,mxn,complete",
    "4,2023-01-02 03:04:05,u4,1.5,mxn,complete",
)
COPIED = [
    (2, b"1,2023-01-02 03:04:05,\xc3\xb1u\xe6\x97\xa5,1.5,mxn,complete"),
    (3, b'2,2023-01-02 03:04:05,u\\,"2",,mxn,complete'),
    (5, b"4,2023-01-02 03:04:05,u4,1.5,mxn,complete"),
]


def read(
    path: Path, columns: str = "", chunk: int = 1 << 18
) -> tuple[list[tuple[int, bytes]], list[BadRow]]:
    """Good rows as COPY gets them, with their lines, and the bad ones."""
    good: list[tuple[int, bytes]] = []
    bad = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_BYTES", chunk)
        with closing(SnapshotFile(path, ColumnNames.parse(columns))) as file:
            for record in file.records():
                if isinstance(record, BadRow):
                    bad.append(record)
                elif isinstance(record, ExactRow):
                    good.append((record.line, record.text))
                else:
                    good += enumerate(record.lines.split(b"\n")[:-1], start=record.first_line)
    return good, bad


# --- encodings and line ends -------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "\ufeff utf-16-be"]
)
def test_an_encoding_and_line_ends_that_cannot_be_mistaken_are_read(
    tmp_path: Path, encoding: str, end: str, chunk: int
) -> None:
    path = tmp_path / "a.csv"
    # With CR alone, a quote might hold a line end that is none.
    lines = [line for line in LINES if end != "\r" or '"' not in line]
    text = "".join(line + end for line in lines)
    mark, _, codec = encoding.rpartition(" ")
    path.write_bytes((mark + text).encode(codec))
    good, bad = read(path, chunk=chunk)
    expected = [row for _, row in COPIED if end != "\r" or b'"' not in row]
    assert [row for _, row in good] == expected
    assert [row.raw for row in bad] == ["3,yesterday,u3,1.5,mxn,complete"]
    assert [line for line, _ in good] == ([2, 3, 5] if end != "\r" else [2, 4])


def test_half_a_surrogate_pair_is_a_bad_row_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffuser_id\nu1\n\ud83d\nu3\n".encode("utf-16-le", "surrogatepass"))
    good, [bad] = read(path)
    assert [line for line, _ in good] == [2, 4]
    assert (bad.line, bad.code) == (3, "invalid_utf8")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("\ufeffuser_id\nu1\n".encode("utf-16-le")[:-1], "UTF-16 that ends inside a character"),
        (b'user_id\ru1\r"u2"\r', "lines end with CR, as on old Macs, and it has LF or quotes"),
        (b"user_id\r" + b"u" * 9 + b"\r" * (1 << 16) + b"\n", "save it with LF or CRLF line ends"),
        ("user_id,año\n".encode("latin-1"), "its byte 10 is 0xf1, as in Latin-1"),
    ],
)
def test_what_could_be_mistaken_is_refused_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(RefusedError, match=f"^a.csv: .*{re.escape(message)}"):
        read(tmp_path / "a.csv", chunk=4096)


def test_a_row_in_latin_1_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("user_id\nu1\nPeña\n".encode("latin-1"))
    _, [bad] = read(tmp_path / "a.csv")
    assert bad.reason == (
        "byte 3 of the row is 0xf1, which is not UTF-8: if the file is in Latin-1 or "
        "Windows-1252, save it as UTF-8"
    )
    assert bad.raw == "Pe\\xf1a"


# --- columns -----------------------------------------------------------------------------------

OTHERS = (
    "ID,event_date, Wann ,User_Id,amount,currency,tx_status,comment",
    "1,2023-01-02,2023-01-02 03:04:05,u1,1.5,mxn,complete,fine",
    '2,2023-01-02,2023-01-02 03:04:05,u2,1.5,mxn,complete,"a, b"',
    "3,2023-01-02,yesterday,u3,1.5,mxn,complete,",
    "4,2023-01-02,2023-01-02 03:04:05,u4,1.5,mxn,complete",
    "5,2023-01-02,2023-01-02 03:04:05,u5,1.5,mxn,complete,ñ",
)
MAPPED = "wann=event_timestamp,event_date=,comment="


@pytest.mark.parametrize("shape", ["plain", "gzip", "zip", "zstd"])
def test_columns_are_called_as_the_call_says_or_left_out(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(PACKED[shape]("".join(f"{line}\n" for line in OTHERS).encode()))
    good, bad = read(path, MAPPED)
    assert good == [
        (line, b"%d,2023-01-02 03:04:05,u%d,1.5,mxn,complete" % (line - 1, line - 1))
        for line in (2, 3, 6)
    ]
    # What can be loaded again stands as our columns; what is none of its rows stands as it is.
    assert [(row.line, row.code, row.raw) for row in bad] == [
        (4, "bad_time", "3,yesterday,u3,1.5,mxn,complete"),
        (5, "field_count", OTHERS[4]),
    ]
    assert bad[1].reason == (
        "the row has 7 fields, not 8: id, (left out), event_timestamp, user_id, amount, currency, "
        "tx_status, (left out)"
    )
    with closing(SnapshotFile(path, ColumnNames.parse(MAPPED))) as file:
        assert file.columns == tuple(LINES[0].split(","))
        file.digest()
        assert list(file.raw_rows([3])) == ["2,2023-01-02 03:04:05,u2,1.5,mxn,complete"]


def test_without_a_map_it_stays_refused_and_says_how_to_map(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(OTHERS))
    with pytest.raises(RefusedError) as caught:
        read(path)
    assert str(caught.value) == (
        "a.csv: not a snapshot of deposits: unknown column 'event_date', 'wann', 'comment', "
        "missing column 'event_timestamp': --columns THEIRS=OURS maps a column, THEIRS= leaves it "
        "out"
    )
    with pytest.raises(RefusedError, match="repeated column 'amount'"):
        read(path, f"{MAPPED},currency=amount")


def test_a_blank_after_each_comma_is_no_part_of_a_value(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id, event_timestamp, user_id, event_name\n"
        '1, 2023-01-02 03:04:05, u1, "a, b"\n'
        "2, yesterday, u2, login\n"
    )
    good, [bad] = read(path)
    assert good == [(2, b"1,2023-01-02 03:04:05,u1,a\\, b")]
    assert bad.raw == "2,yesterday,u2,login"
    # Where the header has none, a blank is part of a text, as in any other file.
    path.write_text("id,event_timestamp,user_id,event_name\n1,2023-01-02 03:04:05, u1,login\n")
    assert read(path) == ([(2, b"1,2023-01-02 03:04:05, u1,login")], [])


def test_no_reason_names_a_user(tmp_path: Path) -> None:
    """Also where the fields of a row have changed places, and where there is no header at all."""
    user = "5dd9db5e033da9c6fb5ba83c7a7ebea9"
    path = tmp_path / "a.csv"
    rows = [
        f"{user},2023-01-02 03:04:05,1,1.5,mxn,complete",
        f"1,{user},1,1.5,mxn,complete",
        f"1,2023-01-02 03:04:05,x,{user},mxn,complete",
        f"1,2023-01-02 03:04:05,{user}{'x' * 1000},1,mxn,complete",
        f"{user},1",
        f'"{user}"x',
    ]
    path.write_text("\n".join([LINES[0], *rows]))
    _, bad = read(path)
    assert len(bad) == len(rows)
    assert all(user in row.raw for row in bad)
    assert [row.reason for row in bad if user in row.reason] == []
    for text in (f"{user}\n", rows[0], rows[0].replace(",", ";")):
        path.write_text(text)
        with pytest.raises(RefusedError) as caught:
            read(path)
        assert user not in str(caught.value)
