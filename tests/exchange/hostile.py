"""Frames that nobody should send: each costs at most the step of the book that it names."""

_NUMBERS = ("NaN", "-Infinity", "1E99999999", '"1E1000000"', "7" * 5000, "null", "[]")

# They name no book that is watched, and cost none anything.
NAMELESS_FRAMES: list[str | bytes] = [
    b"\x00\xff", "", "null", "[]", '"\\ud800"', "{}", '{"type":{"a":[]}}', '{"type":"surprise"}',
    '{"error":[[]]}', '{"error":"\x7f\\u001b[31m"}',
    '{"type":"diff-orders","book":[],"payload":[]}', "[" * (1 << 20),
    '{"response":"ok","type":"diff-orders","action":"subscribe","book":["btc_usd"]}',
]  # fmt: skip


def hostile_frames(book: str) -> list[str | bytes]:
    """Frames of a book that cannot be taken: numbers, depth, length, kinds, keys twice, cut."""
    named = f'{{"type":"diff-orders","book":"{book}","sequence":1,"payload":'
    return [
        *(f'{named}[{{"o":"a","t":0,"r":{number},"a":"1","s":"open"}}]}}' for number in _NUMBERS),
        f'{named}[{{"o":"\\u0000","t":0,"r":"1","a":"1","s":"open","\x00":1}}]}}',
        named + "[" * 100_000,
        named + '[{"o":"' + "x" * (1 << 20) + '","s":"open"}]}',
        named + '[],"sequence":{}}',
        named + "[null]}",
        named + "1}",
        named[:-11],
    ]
