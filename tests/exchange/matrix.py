"""Every source through every fault that applies to it, and what must come of it."""

from typing import Any, Literal, NamedTuple

from tests.exchange.rig import SOURCES

Outcome = Literal["stored", "quarantined", "transient", "terminal", "not found"]


class Case(NamedTuple):
    """A source, a fault, and what comes of it; `code` is the reason in quarantine.

    `argument` and `times` are the fault's. Faults of the content hit one reply, and there its
    first record alone.
    """

    source: str
    fault: str
    outcome: Outcome
    argument: Any = None
    times: int | None = None
    code: str = ""
    label: str = ""

    @property
    def takes_time(self) -> bool:
        """Whether a client has to run into its time limit."""
        return self.fault in ("slow", "trickle")

    @property
    def id(self) -> str:
        """A name for the test."""
        parts = [self.source, self.fault, self.label or self.code, self.outcome]
        return "-".join(part.replace(" ", "_") for part in parts if part)


_BITSO = ("ticker", "all_tickers", "order_book", "books")
_QUOTES = ("ticker", "all_tickers", "order_book")
_GECKO = ("exchanges", "exchange_tickers", "coin_tickers")

# A fault, its outcome, argument and times, and a label.
_WIRE: list[tuple[str, Outcome, Any, int | None, str]] = [
    ("reset", "transient", None, None, "for_ever"),
    ("reset", "stored", None, 2, "twice"),
    ("slow", "transient", None, None, ""),
    ("trickle", "transient", 0.1, None, ""),
    ("truncated", "transient", None, None, "for_ever"),
    ("truncated", "stored", None, 1, "once"),
    ("cut_chunk", "transient", None, None, ""),
    ("wrong_length", "transient", None, None, "for_ever"),
    ("wrong_length", "stored", None, 1, "once"),
    ("html", "transient", 200, None, "as_200"),
    ("html", "stored", 503, 2, "503_twice"),
    ("html", "transient", 403, None, "blocked"),
    ("gzip_bomb", "terminal", None, None, ""),
    ("bad_gzip", "transient", None, None, ""),
    ("good_gzip", "stored", None, None, ""),
    ("redirect", "terminal", "http://127.0.0.2:9/elsewhere", None, "elsewhere"),
    ("redirect", "terminal", None, None, "in_circles"),
    ("redirect", "stored", None, 1, "here"),
    ("interim", "stored", 100, 1, "100"),
    ("interim", "stored", 102, 1, "102"),
    ("interim", "stored", 103, 1, "103"),
    ("interim", "terminal", 101, None, "101"),
    ("text", "transient", "", None, "empty"),
    ("text", "transient", "Throttled", None, "no_json"),
    ("text", "transient", b'{"name": "\xff\xfe"}', None, "no_utf8"),
    ("text", "transient", "[" * 100_000, None, "too_deep"),
    ("status", "transient", 500, None, "5xx_for_ever"),
    ("status", "stored", 502, 2, "5xx_then_fine"),
    ("status", "terminal", 400, None, "400"),
    ("status", "not found", 404, None, "404"),
    ("status", "terminal", {"status": 204, "text": ""}, None, "204"),
    ("status", "stored", {"status": 429, "headers": {"Retry-After": "7"}}, 1, "429_once"),
    ("status", "transient", {"status": 429, "headers": {"Retry-After": "3600"}}, None, "429"),
    ("status", "transient", {"status": 420}, None, "420"),
]  # fmt: skip

# A fault, its argument, the code in quarantine ("" where it is stored), and a label.
_ANY_RECORD: list[tuple[str, Any, str, str]] = [
    ("extra_key", None, "", ""),
    ("set", {"surprise": "\u0000"}, "not_storable", "nul"),
    ("set", {"surprise": "\ud800"}, "not_storable", "half_a_character"),
    ("set", {"surprise": "\\u0000 \U0001f600"}, "", "harmless_escapes"),
    ("bare_number", ("surprise", "NaN"), "not_storable", "NaN"),
    ("bare_number", ("surprise", "-Infinity"), "not_storable", "Infinity"),
    ("bare_number", ("surprise", "1e999999"), "not_storable", "huge"),
    ("bare_number", ("surprise", "7" * 5000), "not_storable", "long"),
    ("bare_number", ("surprise", "0.1234567890123456789012345e-7"), "", "many_digits"),
    ("replace_record", None, "not_an_object", "null"),
    ("replace_record", "text", "not_an_object", "text"),
]
_ANY_QUOTE: list[tuple[str, Any, str, str]] = [
    ("crossed", None, "", ""),
    ("empty_side", ["bid"], "", "bid"),
    ("empty_side", ["ask"], "", "ask"),
    ("empty_side", ["bid", "ask"], "", "both"),
    ("many_decimals", None, "", ""),
    ("clock_skew", 7200, "", "ahead"),
    ("clock_skew", -7200, "", "behind"),
    ("price", "0", "not_positive", "zero"),
    ("price", "0.000", "not_positive", "zeros"),
    ("price", "-1", "not_positive", "negative"),
    ("price", "NaN", "not_a_number", "NaN"),
    ("price", "Infinity", "not_a_number", "Infinity"),
    ("price", "1,5", "not_a_number", "comma"),
    ("price", "", "not_a_number", "empty"),
    ("price", "٣", "not_a_number", "other_digits"),
    ("price", "1_000", "not_a_number", "underscore"),
    ("price", "1e5000", "not_a_number", "huge"),
    ("price", "1e19", "too_large", "over_the_models"),
    ("price", "1E-30", "too_small", "below_the_models"),
    ("price", True, "not_a_number", "bool"),
    ("no_time_zone", None, "no_time_zone", ""),
]
_BY_SOURCE: dict[str, list[tuple[str, Any, str, str]]] = {
    "ticker": [
        ("set", {"book": "eth_mxn"}, "wrong_book", ""),
        ("set", {"created_at": "yesterday"}, "not_a_time", ""),
        ("replace_record", [], "wrong_shape", "empty"),
        *(("missing_key", key, "missing_key", key) for key in ("book", "bid", "created_at")),
        ("missing_key", "vwap", "", "optional"),
    ],
    "all_tickers": [
        ("repeated", None, "", ""),
        ("no_records", None, "wrong_shape", ""),
        *(("missing_key", key, "missing_key", key) for key in ("book", "ask")),
    ],
    "order_book": [
        ("unsorted", None, "", ""),
        ("sequence_back", None, "", ""),
        ("amount", "0", "not_positive", "amount"),
        ("amount", "x", "not_a_number", "of_amount"),
        ("set", {"sequence": "abc"}, "not_a_sequence", "text"),
        ("set", {"sequence": -5}, "not_a_sequence", "negative"),
        ("set", {"sequence": str(2**63)}, "not_a_sequence", "too_big"),
        ("set", {"sequence": 4520000001}, "", "sequence_as_number"),
        ("set", {"bids": {}}, "not_an_array", ""),
        ("set", {"bids": ["x"]}, "not_an_object", "level"),
        ("set", {"bids": [{"price": "1"}]}, "missing_key", "amount"),
        (
            "set", {"asks": [{"book": "eth_mxn", "price": "1", "amount": "1"}]}, "wrong_book", "",
        ),
        *(
            ("missing_key", key, "missing_key", key)
            for key in ("bids", "asks", "updated_at", "sequence")
        ),
    ],
    "books": [
        ("repeated", None, "", ""),
        ("missing_key", "book", "missing_key", ""),
        ("missing_key", "fees", "", "optional"),
        ("no_records", None, "wrong_shape", ""),
    ],
    "exchanges": [
        ("repeated", None, "", ""),
        ("missing_key", "id", "missing_key", ""),
        ("set", {"trust_score": "high"}, "", "odd_score"),
        ("bare_number", ("trade_volume_24h_btc", "-1.5"), "", "negative"),
        ("bare_number", ("trade_volume_24h_btc", "1.5E-7"), "", "exponent"),
    ],
    "exchange_tickers": [("set", {"market": None}, "not_an_object", "market")],
    "coin_tickers": [
        ("repeated", None, "", ""),
        ("missing_key", "base", "missing_key", ""),
        ("missing_key", "coin_id", "", "optional"),
        ("set", {"market": {"identifier": " "}}, "not_a_text", ""),
    ],
    "exchange_volumes": [
        ("repeated", None, "", ""),
        ("set", {"exchangeId": 7}, "not_a_text", ""),
        ("set", {"volumeUsd": "NaN"}, "", "NaN_volume"),
        ("set", {"volumeUsd": "-1"}, "", "negative_volume"),
        ("set", {"socket": None, "exchangeUrl": "empty_uri"}, "", "sloppy"),
    ],
}  # fmt: skip

# Replies with status 200 that are errors: sources, document, outcome, times, label.
_ERRORS_AS_200: list[tuple[tuple[str, ...], Any, Outcome, int | None, str]] = [
    (_BITSO, {"success": False, "error": {"code": "0801"}}, "stored", 1, "0801_once"),
    (_BITSO, {"success": False, "error": {"code": "0801"}}, "transient", None, "0801"),
    (_BITSO, {"success": False, "error": {"code": "0101"}}, "transient", None, "0101"),
    (_BITSO, {"success": False, "error": {"code": 1000}}, "transient", None, "1000"),
    (_BITSO, {"success": False, "error": {"code": 104}}, "terminal", None, "104"),
    (_BITSO, {"error": {"code": 20, "message": "Unknown"}}, "not found", None, "20"),
    (_BITSO, {"success": False}, "terminal", None, "no_reason"),
    (_BITSO, [], "terminal", None, "list"),
    (_GECKO, {"status": {"error_code": 429, "error_message": "x"}}, "stored", 1, "429_once"),
    (_GECKO, {"status": {"error_code": 429, "error_message": "x"}}, "transient", None, "429"),
    (_GECKO, {"error": "coin not found"}, "terminal", None, "not_found"),
    (_GECKO, {"error_code": 10010, "status": {"error_message": "x"}}, "terminal", None, "plan"),
    (("exchange_volumes",), {"data": {"message": "gone"}}, "terminal", None, "deprecated"),
    (("exchange_volumes",), {"error": "no credits"}, "terminal", None, "error"),
]


def _content(source: str, row: tuple[str, Any, str, str]) -> Case:
    fault, argument, code, label = row
    return Case(source, fault, "quarantined" if code else "stored", argument, 1, code, label)


WIRE_CASES = [
    Case(source, fault, outcome, argument, times, label=label)
    for source in SOURCES
    for fault, outcome, argument, times, label in _WIRE
]
CONTENT_CASES = [
    *(_content(source, row) for source in SOURCES for row in _ANY_RECORD),
    *(_content(source, row) for source in _QUOTES for row in _ANY_QUOTE),
    *(_content(source, row) for source, rows in _BY_SOURCE.items() for row in rows),
    *(_content(source, ("no_wrapper", None, "wrong_shape", "")) for source in SOURCES),
]
ERROR_CASES = [
    Case(source, "document", outcome, document, times, label=label)
    for sources, document, outcome, times, label in _ERRORS_AS_200
    for source in sources
]
CASES = [*WIRE_CASES, *CONTENT_CASES, *ERROR_CASES]
