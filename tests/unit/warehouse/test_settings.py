"""What is set from outside: each setting with whatever somebody may write, and the file of them."""

import json
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from loader.warehouse import environment
from loader.warehouse.environment import ENV_FILE
from loader.warehouse.errors import UsageError
from loader.warehouse.settings import Settings, get_settings
from loader.warehouse.text import LONGEST_LINE, one_line
from tests.environment import settings

FIELDS = Settings.model_fields
DEFAULTS = Settings()
# None of them is a number, an address or a name of a book, and all are no secret by themselves.
HOSTILE = {
    "empty": "",
    "blanks": " \t\r\n\u00a0 ",
    "a word": "swordfish",
    "NaN": "NaN",
    "infinite": "-Infinity",
    "negative": "-1",
    "far too large": "9" * 400,
    "beyond a float": "1e400",
    "a fraction": "0.0000000001",
    "escapes": "\x1b]0;title\x07\x1b[2J",
    "from right to left": "a\u202eb\u200bc\ufeff",
    "lines": "a\nb\rc",
    "emoji": "🦄🇲🇽",
    "a byte that is not UTF-8": "a\udcffb",
    "10 kB": "x" * 10_000,
    "JSON": '{"a": [[[]]]}',
    "deep JSON": "[" * 20_000,
    "list": "1,2,,3",
}


@pytest.fixture(autouse=True)
def _nothing_else_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever warehouse a test before has been at."""
    for name in set(os.environ) - {ENV_FILE}:
        if name.startswith(environment.PREFIX):
            monkeypatch.delenv(name)


def variable(name: str) -> str:
    return f"WAREHOUSE_{name.upper()}"


def is_secret(name: str) -> bool:
    return "SecretStr" in str(FIELDS[name].annotation)


def is_number(name: str) -> bool:
    kinds = (FIELDS[name].annotation, *get_args(FIELDS[name].annotation))
    return int in kinds or float in kinds


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_each_setting_is_taken_or_refused_in_one_line_by_its_name(value: str) -> None:
    refused = {name: said for name in FIELDS if (said := _refusal(name, value))}
    assert bool(refused) == bool(value.strip())
    for name, said in refused.items():
        assert said.startswith(f"{variable(name)}: ")
        assert " is not " in said
        assert len(said) < 300
        assert one_line(said) == said
        if is_secret(name):
            assert "swordfish" not in said


def _refusal(name: str, value: str) -> str | None:
    with settings({variable(name): value}):
        try:
            taken = getattr(get_settings(), name)
        except UsageError as error:
            return str(error)
    if not value.strip():
        assert taken == getattr(DEFAULTS, name)
    return None


@pytest.mark.parametrize("name", [name for name in FIELDS if is_number(name)])
def test_a_number_has_two_limits_and_they_are_told(name: str) -> None:
    limits = {key: getattr(each, key) for each in FIELDS[name].metadata
              for key in ("ge", "gt", "le") if hasattr(each, key)}  # fmt: skip
    assert set(limits) in ({"ge", "le"}, {"gt", "le"})
    least = limits.get("ge", limits.get("gt", 0))
    for value in (limits["le"] + 1, least - 1):
        with settings({variable(name): str(value)}), pytest.raises(UsageError) as caught:
            get_settings()
        assert f"'{value}' is not a " in str(caught.value)
        assert str(limits["le"]) in str(caught.value)
    with settings({variable(name): f" {limits['le']}\n"}):
        assert getattr(get_settings(), name) == limits["le"]


@pytest.mark.parametrize("name", FIELDS)
def test_blanks_around_a_value_and_the_case_of_a_name_say_nothing(name: str) -> None:
    value = {"books": " BTC_MXN , btc_mxn,eth_mxn ", "alert_channels": '{"a": "json://x"}'}.get(
        name
    ) or str(getattr(DEFAULTS, name) if is_number(name) else "https://swordfish")
    if name == "coingecko_plan":
        value = "pro"
    if name == "bitso_stream_url":
        value = "wss://swordfish"
    if name in ("host", "db"):
        value = "swordfish"
    if isinstance(default := getattr(DEFAULTS, name), bool):
        value = str(not default).lower()
    if value == "None":
        value = "77"
    with settings({variable(name): value.strip()}):
        plain = getattr(get_settings(), name)
    with settings({variable(name).lower(): f"  {value}\t\n"}):
        assert getattr(get_settings(), name) == plain
    if not is_number(name):
        assert plain != getattr(DEFAULTS, name)


# Nobody can be reached there, whatever is listening.
NOWHERE = (
    "h:99999", "h:0", "h:-1", "h:80:90", "h:٣", "[::1", "[zz]", "[::1]x", "::1", "a..b", ".a", "*",
    "a" * 64 + ".mx", "a." * 130 + "mx", "h%41", "h\\x", "h<", "\uff41",
)  # fmt: skip
SOMEWHERE = ("h", "h:1", "h:65535", "[::1]:80", "127.0.0.1", "a_b", "mx.", "a" * 63 + ".mx",
             "ñandú.mx", "xn--and-6ma2c.mx")  # fmt: skip
ADDRESSES = {
    name: "ws" if name == "bitso_stream_url" else "http" for name in FIELDS if name.endswith("_url")
}


def test_an_address_is_one_that_can_be_connected_to() -> None:
    assert len(ADDRESSES) == 8
    for name, scheme in ADDRESSES.items():
        for host in SOMEWHERE:
            for path in ("", "/", "/a/b"):
                assert not _refusal(name, f"{scheme}://{host}{path}"), host
        for host in NOWHERE:
            for path in ("", "/"):
                said = _refusal(name, f"{scheme}://{host}{path}")
                assert said, host
                assert said.startswith(f"{variable(name)}: ")
                assert f" is not an address such as {scheme}s://host/path" in said


COMPOUND = [name for name in FIELDS if "tuple" in str(FIELDS[name].annotation)]
KINDS: tuple[Any, ...] = (
    None,
    True,
    7,
    1.5,
    "x",
    [],
    {},
    [[]],
    [{}],
    [None],
    [5],
    {"b": "x"},
    ["x", 5],
)


@pytest.mark.parametrize("name", COMPOUND)
def test_a_part_of_the_wrong_kind_is_told_in_our_words(name: str) -> None:
    given = [json.dumps(inner) for kind in KINDS for inner in (kind, [kind], {"a": kind})]
    refused = [said for value in given if (said := _refusal(name, value))]
    assert len(refused) > len(given) / 2
    for said in refused:
        assert re.search(" is not (a book such as|a JSON object such as) ", said), said


def test_books_are_a_list_with_commas() -> None:
    with settings(WAREHOUSE_BOOKS=" BTC_MXN , eth_btc,btc_mxn"):
        assert get_settings().books == ("btc_mxn", "eth_btc")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("books", "btc_mxn, btc-mxn", "'btc-mxn' is not a book such as btc_mxn"),
        ("books", "btc_mxn,,usd_mxn", "'' is not a book such as btc_mxn"),
        ("bitso_url", "api.bitso.com",
         "'api.bitso.com' is not an address such as https://host/path"),
        ("bitso_url", "https://me:secret@api.bitso.com/v3", "what is set is not an address"),
        ("coincap_url", "https://rest.coincap.io/v3?apiKey=secret", "what is set is not an"),
        ("bitso_calls_per_minute", "61", "'61' is not a whole number from 1 to 60"),
        ("http_timeout_seconds", "0", "'0' is not a number above 0 and up to 86400"),
        ("port", "postgres", "'postgres' is not a whole number from 1 to 65535"),
        ("coingecko_plan", "basic", "'basic' is not 'demo' or 'pro'"),
        ("coincap_key", "secret", "what is set is not a key: eight or more"),
        ("alert_channels", "secret", "what is set is not a JSON object such as"),
        ("alert_channels", '{"a,b": "json://secret"}', "what is set is not a name of a channel"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(name: str, value: str, said: str) -> None:
    with settings({variable(name): value}), pytest.raises(UsageError) as caught:
        get_settings()
    assert f"{variable(name)}: {said}" in str(caught.value)
    assert "secret" not in str(caught.value)


# ------------------------------------------------------------ odd names


@pytest.mark.parametrize("is_in_file", [False, True], ids=["environment", "file"])
def test_an_unknown_name_is_warned_of_once_with_the_nearest(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, *, is_in_file: bool
) -> None:
    odd = {"WAREHOUSE_BOKS": "btc_mxn", "warehouse_zzzzzzzz": "", "OTHER": "x", "WAREHOUSES": "x"}
    file = tmp_path / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in odd.items()))
    where = {ENV_FILE: str(file)} if is_in_file else odd
    with settings(where), caplog.at_level(logging.WARNING):
        for _ in range(2):
            get_settings()
    assert sorted(record.getMessage() for record in caplog.records) == [
        "WAREHOUSE_BOKS is no setting: did you mean WAREHOUSE_BOOKS?",
        "warehouse_zzzzzzzz is no setting",
    ]


def test_what_the_stack_sets_for_itself_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    text = (Path(environment.__file__).parents[2] / "docker-compose.yml").read_text()
    names = {word.rstrip(":") for word in text.split() if word.startswith("WAREHOUSE_")}
    assert environment.OTHERS & names
    with settings(dict.fromkeys(names, "")), caplog.at_level(logging.WARNING):
        get_settings()
    assert caplog.records == []


# -------------------------------------------------------- the file of settings


def _utf16(file: Path) -> None:
    file.write_text("WAREHOUSE_DB=swordfish\n", encoding="utf-16")


def _socket(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(file))


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "No such file or directory; /dev/null stands for no file"),
    "a link to nowhere": (lambda file: file.symlink_to("nowhere"), "No such file or directory"),
    "a link to itself": (lambda file: file.symlink_to(file), "symbolic links"),
    "a directory": (Path.mkdir, "is not a regular file"),
    "a pipe": (os.mkfifo, "is not a regular file"),
    "a device": (lambda file: file.symlink_to("/dev/zero"), "is not a regular file"),
    "a socket": (_socket, "is not a regular file"),
    "latin-1": (lambda file: file.write_bytes(b"WAREHOUSE_DB=a\xf1o\n"), "is not text in UTF-8"),
    "UTF-16": (_utf16, "is not text in UTF-8"),
    "NUL": (lambda file: file.write_bytes(b"WAREHOUSE_DB=a\0b\n"), "is not text in UTF-8"),
    "far too large": (lambda file: file.write_bytes(b"#" * (2 << 20)), "no file of settings"),
}


@pytest.fixture(params=["named", "by itself"])
def file(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A file of settings: the one that is named, or the `.env` of the project's root."""
    path = tmp_path / ".env"
    if request.param == "named":
        monkeypatch.setenv(ENV_FILE, str(path))
    else:
        monkeypatch.setattr("loader.warehouse.settings.PROJECT_ROOT", tmp_path)
        monkeypatch.setenv(ENV_FILE, " ".strip())
    get_settings.cache_clear()
    yield path
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.mark.parametrize(("make", "said"), NO_FILES.values(), ids=NO_FILES)
def test_what_cannot_be_read_as_settings_is_wrong_usage(
    file: Path, make: Callable[[Path], object], said: str
) -> None:
    make(file)
    if not os.path.lexists(file) and not os.environ[ENV_FILE]:
        # Nobody named it.
        assert get_settings() == DEFAULTS
        return
    with pytest.raises(UsageError) as caught:
        get_settings()
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert str(caught.value).startswith(ENV_FILE) == bool(os.environ[ENV_FILE])


def test_a_file_is_read_after_the_environment(file: Path) -> None:
    file.write_text(
        "\ufeffWAREHOUSE_DB = here \nexport WAREHOUSE_HOST=''\n# a comment\n"
        "WAREHOUSE_USER=\"  a b \"\nWAREHOUSE_PASSWORD='a$b'\n",
        encoding="utf-8",
    )
    with settings(WAREHOUSE_USER="  ", WAREHOUSE_DB="", WAREHOUSE_HOME="x"):
        found = get_settings()
    assert (found.db, found.host, found.user) == ("here", None, "a b")
    assert found.password == SecretStr("a$b")
    assert found.home == Path("x")


def test_the_null_device_stands_for_no_file(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(os.devnull)
    for path in (Path(os.devnull), link):
        with settings({ENV_FILE: str(path)}):
            assert get_settings() == DEFAULTS


def test_a_message_is_cut_in_its_middle() -> None:
    line = one_line("a" * LONGEST_LINE + "\x1b[2J\u202e" + "b" * LONGEST_LINE)
    assert len(line) == LONGEST_LINE
    assert (line[0], line[-1]) == ("a", "b")
