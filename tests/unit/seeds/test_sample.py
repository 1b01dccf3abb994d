"""The shipped sample: made by its generator, and with the quirks of the real files."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parents[3] / "seeds" / "sample"
KINDS = ("deposits", "withdrawals", "events", "users", "user_levels")


def generate(directory: Path, *options: str) -> None:
    subprocess.run(
        [sys.executable, str(SAMPLE / "generate.py"), str(directory), *options],
        check=True,
        # Sets come in another order for every hash seed; the files must not.
        env={"PYTHONHASHSEED": "7"},
    )


def lines(kind: str, directory: Path = SAMPLE) -> list[bytes]:
    """The lines after the header, without their ends."""
    return (directory / f"{kind}.csv").read_bytes().split(b"\n")[1:-1]


def good(kind: str) -> list[list[str]]:
    """The rows that have every field, and only characters that a file may have."""
    text = (SAMPLE / f"{kind}.csv").read_bytes().decode(errors="replace")
    header, *rows = csv.reader(text.splitlines())
    return [
        row for row in rows if len(row) == len(header) and not re.search("[\0\ufffd]", "".join(row))
    ]


def test_the_generator_makes_the_shipped_bytes(tmp_path: Path) -> None:
    generate(tmp_path)
    for name in (*(f"{kind}.csv" for kind in KINDS), "expected.json"):
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes(), name


def test_another_seed_makes_other_rows(tmp_path: Path) -> None:
    generate(tmp_path, "--seed", "2")
    for kind in KINDS:
        assert lines(kind, tmp_path) != lines(kind)


def test_a_clean_set_has_only_good_rows_and_the_size_asked_for(tmp_path: Path) -> None:
    generate(tmp_path, "--clean", "--deposits", "1000", "--users", "50")
    expected = json.loads((tmp_path / "expected.json").read_text())
    for kind in KINDS:
        assert expected[kind]["rows_quarantined"] == expected[kind]["rows_duplicate"] == 0
        assert expected[kind]["rows_read"] == expected[kind]["rows_inserted"]
    ids = [line.split(b",")[0] for line in lines("deposits", tmp_path)]
    assert len(ids) == len(set(ids)) == expected["deposits"]["rows_read"] >= 1000
    assert len(lines("users", tmp_path)) == 51


def test_it_is_at_most_a_megabyte_and_its_bad_rows_stay_below_what_refuses_a_file() -> None:
    assert sum((SAMPLE / f"{kind}.csv").stat().st_size for kind in KINDS) <= 1_000_000
    for counts in json.loads((SAMPLE / "expected.json").read_text()).values():
        assert 2 <= counts["rows_quarantined"] <= 12
        assert counts["rows_duplicate"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_expected_counts_add_up(kind: str) -> None:
    counts = json.loads((SAMPLE / "expected.json").read_text())[kind]
    assert counts["rows_read"] == len([line for line in lines(kind) if line])
    assert counts["rows_read"] == (
        counts["rows_inserted"] + counts["rows_duplicate"] + counts["rows_quarantined"]
    )


def test_users_has_a_blank_line_after_its_header() -> None:
    assert (SAMPLE / "users.csv").read_bytes().startswith(b"user_id\n\n")
    assert all(re.fullmatch("[0-9a-f]{32}", user) for (user,) in good("users"))


def test_instants_have_trimmed_fractions_or_none() -> None:
    instants = [row[1] for kind in ("deposits", "withdrawals") for row in good(kind)]
    fractions = Counter(
        len(found[1]) for text in instants if (found := re.search(r"\.(\d+)", text))
    )
    assert set(fractions) == {1, 2, 3, 4, 5, 6}
    assert not any(re.search(r"\.\d*0\+00$", text) for text in instants)
    assert any(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00", text) for text in instants)
    assert instants != sorted(instants)
    in_range = [text for text in instants if "2020-01-02" <= text <= "2023-08-24"]
    assert len(in_range) >= len(instants) - 3


def test_events_have_no_zone_six_digits_and_sixteen_names() -> None:
    rows = good("events")
    odd = [row for row in rows if not re.fullmatch(r"[\d-]{10} [\d:]{8}\.\d{6}", row[1])]
    assert len(odd) == 1
    assert len({row[3] for row in rows} - {""}) == 16


def test_amounts_have_up_to_thirteen_digits_and_eighteen_decimals() -> None:
    rows = good("deposits")
    amounts = [row[3] for row in rows]
    assert amounts.count("") == 3
    assert max(len(amount.partition(".")[0]) for amount in amounts) == 13
    assert max(len(amount.partition(".")[2]) for amount in amounts) == 18
    assert {"6827677768780", "0.00000001"} <= set(amounts)
    assert len({row[4] for row in rows if row[4].islower()}) == 60
    assert "pagx" in {row[4] for row in rows}
    negative = [row for row in good("withdrawals") if row[3].startswith("-")]
    assert [row[6] for row in negative] == ["failed"]


def test_seven_users_make_most_of_the_deposits() -> None:
    users = Counter(row[2] for row in good("deposits"))
    share = sum(count for _, count in users.most_common(7)) / users.total()
    assert 0.69 < share < 0.73


def test_users_are_known_from_one_side_alone() -> None:
    users = {user for (user,) in good("users")}
    deposited = {row[2] for row in good("deposits")}
    complete = {row[2] for row in good("deposits") if row[5] == "complete"}
    withdrew = {row[2] for row in good("withdrawals")} - {""}
    assert deposited - users == set()
    assert len(withdrew - users) == 1
    assert len(withdrew & users - deposited) >= 3
    assert len(deposited - complete) == 2


def test_ids_collide_across_kinds_and_repeat_within_one() -> None:
    ids = {kind: [row[0] for row in good(kind)] for kind in ("deposits", "withdrawals")}
    assert len(set(ids["deposits"]) & set(ids["withdrawals"])) > 300
    assert Counter(ids["deposits"])["2"] == Counter(ids["withdrawals"])["1"] == 3


def test_levels_are_a_history_in_two_jurisdictions() -> None:
    rows = [row for row in good("user_levels") if row[2] != "two" and row[3]]
    assert {row[1] for row in rows} == {"mx", "us"}
    assert {row[2] for row in rows} == {"1", "2", "3", "4"}
    assert max(Counter((row[0], row[1]) for row in rows).values()) >= 3
    assert len(
        {row[0] for row in rows if row[1] == "mx"} & {row[0] for row in rows if row[1] == "us"}
    )


def test_the_bad_rows_are_there() -> None:
    text = b"\n".join(lines("deposits"))
    for piece in (b"12.5.0", b"NaN", b"2023-02-29", b"now", b"\n,", b"1,234.50", b"\0", b"\xf3"):
        assert piece in text
