"""Secrets are found in whatever spelling they come, and nothing else is taken for one."""

import base64
import json
import logging
import sys
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from loader.warehouse.commands import LogLine
from loader.warehouse.errors import TerminalError
from loader.warehouse.redaction import (
    KEYS,
    MARK,
    PASSWORDS,
    SHORTEST,
    Secrets,
    redacted,
)
from loader.warehouse.settings import Settings, get_settings
from tests.environment import settings

Spelling = Callable[[str], str]

SPELLINGS: dict[str, Spelling] = {
    "as it is": str,
    "in lower case": str.lower,
    "in upper case": str.upper,
    "quoted": lambda text: quote(text, safe=""),
    "quoted for a path": quote,
    "quoted for a form": quote_plus,
    "quoted, every character": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON as UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "in JSON, every character": lambda text: "".join(
        f"\\u{text.encode('utf-16-be').hex().upper()[n : n + 4]}"
        for n in range(0, len(text.encode("utf-16-be")) * 2, 4)
    ),
    "in JSON of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "in hex": lambda text: text.encode().hex(),
    "in HEX": lambda text: text.encode().hex().upper(),
}
# What a secret stands between when something is encoded as a whole.
AROUND = [(before, after) for before in ("", "u", "us", "user") for after in ("", "x", "xy")]
ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64 without padding": lambda raw: base64.b64encode(raw).decode().rstrip("="),
    "base64 of URLs": lambda raw: base64.urlsafe_b64encode(raw).decode(),
    "base64 in a URL": lambda raw: quote(base64.b64encode(raw).decode(), safe=""),
    "base64 in JSON of PHP": lambda raw: base64.b64encode(raw).decode().replace("/", "\\/"),
}
# Letters whose lower case is longer than they are belong to no key.
ALPHABET = st.characters(min_codepoint=32, max_codepoint=0x17F, blacklist_characters="\x7fİŉ")

SECRETS = st.text(ALPHABET, min_size=SHORTEST - 1, max_size=40).map(lambda text: text + "1")


@pytest.mark.parametrize("spelling", SPELLINGS)
@examples(max_examples=25)
@given(SECRETS)
def test_a_secret_is_found_in_each_spelling(spelling: str, secret: str) -> None:
    known = Secrets()
    known.remember("somebody", [secret])
    spelled = SPELLINGS[spelling](secret)
    if spelling.startswith("in ") and spelling.endswith("case"):
        # As in the name of a host, of which neither this nor anything else is left.
        spelled = spelled if spelled.isascii() else secret
    assert known.are_in(f"before {spelled} after")
    assert known.taken_out(f"<{spelled}>") == f"<{MARK}>"


@pytest.mark.parametrize("encoding", ENCODINGS)
@examples(max_examples=25)
@given(SECRETS, st.sampled_from(AROUND))
def test_a_secret_is_found_in_what_is_encoded_as_a_whole(
    encoding: str, secret: str, around: tuple[str, str]
) -> None:
    known = Secrets()
    known.remember("somebody", [secret])
    before, after = around
    encoded = ENCODINGS[encoding](f"{before}{secret}{after}".encode())
    assert known.are_in(encoded)
    # At its ends a character may be left, which is of the neighbours too.
    assert len(known.taken_out(encoded).replace(MARK, "")) <= len(encoded) - len(secret)


@given(st.text(max_size=200))
def test_other_text_stays_as_it_is(text: str) -> None:
    known = Secrets()
    known.remember("somebody", ["sesame-0123456789"])
    assert known.taken_out(text) == text


def test_the_longer_of_two_is_taken_out_whole_and_a_short_one_is_none() -> None:
    known = Secrets()
    known.remember("somebody", ["sesame1", "sesame1-street", "reader", "abc1", ""])
    told = "sesame1-street, sesame1, reader, abc1"
    assert known.taken_out(told) == f"{MARK}, {MARK}, reader, abc1"
    known.remember("somebody", [])
    assert known.taken_out("sesame1") == "sesame1"


# ------------------------------------------------------------ where they come from

SECRET = "S3same/open+thou=" + "x" * 8


@pytest.fixture
def _forgetful() -> Iterator[None]:
    yield
    get_settings.cache_clear()
    for secrets in (KEYS, PASSWORDS):
        secrets.remember("settings", [])


def _environment() -> dict[str, str]:
    """A variable for each place in which a secret can be set."""
    secret = {
        f"WAREHOUSE_{name}".upper(): (
            f"https://me:{quote(SECRET, safe='')}@host" if name.endswith("_url") else SECRET
        )
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation) and name != "alert_channels"
    }
    return {
        **secret,
        "WAREHOUSE_ALERT_CHANNELS": json.dumps({"default": [f"jsons://me:{quote(SECRET)}@host"]}),
        "HTTPS_PROXY": f"http://me:{quote(SECRET, safe='')}@proxy.example:3128",
        "http_proxy": f"http://me:{SECRET}@proxy.example:3128",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("variable", _environment())
def test_what_is_secret_in_the_settings_is_in_no_message(
    variable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with settings({variable: _environment()[variable]}):
        get_settings()
        assert str(TerminalError(f"cannot open {SECRET}")) == f"cannot open {MARK}"
        handler = logging.StreamHandler()
        handler.setFormatter(LogLine("%(message)s"))
        try:
            raise ValueError(SECRET)
        except ValueError:
            record = logging.LogRecord("x", 20, "x", 1, "with %s", (SECRET,), None)
            handler.emit(record)
            record.exc_info = sys.exc_info()
            handler.emit(record)
    told = capsys.readouterr().err
    assert told.startswith(f"with {MARK}\n")
    assert SECRET not in told
    assert "ValueError" in told


@pytest.mark.usefixtures("_forgetful")
def test_the_tokens_of_an_address_are_secret_and_its_host_is_not() -> None:
    token = "0123456789abcdef-0123"
    with settings(
        WAREHOUSE_PING_URL=f"https://hc-ping.example.com/{token}/x",
        WAREHOUSE_ALERT_CHANNELS=json.dumps({"default": f"tgram://{token}:abc/chat"}),
    ):
        get_settings()
        assert redacted(f"no route to hc-ping.example.com for /{token}/start") == (
            f"no route to hc-ping.example.com for /{MARK}/start"
        )
