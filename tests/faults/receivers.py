"""Who is told of alerts, and Metabase: servers that others run, and what they answer."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from tests import telling
from tests.faults.cases import Case, Holds, Surface
from tests.faults.gate import HOLD, RESET, Drip, Flood, Step, gate
from tests.faults.headers import HEADERS, REDIRECTS, reply
from tests.faults.place import Place
from tests.faults.values import CUT, DEEP, ENCODED, TEXTS, WRONG_KINDS

RECEIVER, METABASE = "alert receiver", "Metabase reply"


# --- alerts -----------------------------------------------------------------------------------


def _bring_alert(place: Place, case: Case) -> None:
    """Tell a receiver of an alert; whatever it answers, the try is on record and is bounded."""
    steps: Sequence[Step] = case.what
    place.rows(telling.MODELS)
    now = datetime.now(UTC)
    place.rows(
        "insert into marts.spread_alerts_live values ('btc_mxn', 0.5, %s, null, %s, %s, null, "
        "'default', 990, 1000, 1, 1.25, 7, 7)",
        now - timedelta(minutes=5), now, now + timedelta(hours=1),
    )  # fmt: skip
    place.rows("insert into marts.book_thresholds values ('btc_mxn', 0.5, 0.5, 'default')")
    with gate(steps) as door:
        address = f"json://127.0.0.1:{door.server_port}/secret-of-somebody"
        ran = place.run(
            "loader", "alerts",
            env={
                "WAREHOUSE_ALERT_CHANNELS": json.dumps({"default": address}),
                "WAREHOUSE_ALERT_TIMEOUT_SECONDS": "2",
            },
        )  # fmt: skip
    place.survived(ran, case.holds.exits)
    tries = place.rows("select status from ops.alert_deliveries")
    assert len(tries) == 1, f"the try is on record {len(tries)} times"
    place.conserved()


TOLD = Holds((0, 75))
FAILED = Holds((75,))


def _receiver_cases() -> Iterator[Case]:
    for kind in ("numbers", "text", "shape", "size", "time", "cut", "encoding", "duplication",
                 "order", "permission", "full disk", "lost", "version"):  # fmt: skip
        for name, (steps, _) in list(HEADERS[kind].items())[: 5 if kind in ("time", "size") else 2]:
            if not name.startswith("TLS"):
                yield Case(RECEIVER, kind, name, steps, TOLD)
    yield Case(RECEIVER, "place", "elsewhere", REDIRECTS["place"]["a file"], TOLD)
    yield Case(RECEIVER, "time", "silence behind a reply", [reply(), HOLD], TOLD)


# --- Metabase ---------------------------------------------------------------------------------


def _bring_metabase(place: Place, case: Case) -> None:
    """Ask a Metabase that answers so what would change."""
    steps: Sequence[Step] = case.what
    with gate(steps) as door:
        ran = place.run(
            "dashboards", "plan",
            env={
                "WAREHOUSE_METABASE_URL": door.url,
                "WAREHOUSE_METABASE_PASSWORD": "secret-of-somebody",
                "WAREHOUSE_METABASE_READER_PASSWORD": "secret-of-somebody",
                "WAREHOUSE_METABASE_TIMEOUT_SECONDS": "2",
                "WAREHOUSE_METABASE_WAIT_SECONDS": "4",
            },
        )  # fmt: skip
    # 2 is what `plan` says where something would change, without a word on stderr.
    place.survived(ran, case.holds.exits, is_heard=ran.code != 2)


def _json(body: str | bytes) -> list[Step]:
    data = body if isinstance(body, bytes) else body.encode(errors="surrogatepass")
    return [reply(b"Content-Type: application/json", body=data)]


def _metabase_cases() -> Iterator[Case]:
    failed = Holds((1, 2, 75))
    good = b'{"status": "ok", "has-user-setup": true, "id": "x", "setup-token": null, "data": []}'
    whats: dict[str, dict[str, list[Step]]] = {
        "numbers": {"NaN": _json('{"status": NaN}'), "a huge one": _json('{"id": 1E99999999}')},
        "text": {
            name: _json(json.dumps({"status": text, "errors": {"x": text}}))
            for name, text in TEXTS.items() if name[0] != "1"
        },
        "shape": {name: _json(value) for name, value in WRONG_KINDS.items()},
        "size": {
            "nested 200 000 deep": _json(DEEP),
            "1 MB of a name": _json(json.dumps({"status": "x" * 1_000_000})),
            "without end": [b"HTTP/1.1 200 OK\r\n\r\n", Flood(b" " * 1000)],
            "headers without end": [b"HTTP/1.1 200 OK\r\n", Flood(b"X: x\r\n")],
        },
        "time": {
            "silence": [HOLD], "a body byte by byte": [b"HTTP/1.1 200 OK\r\n\r\n", Drip(b" ")],
            "a head byte by byte": [Drip(b"HTTP/1.1 200 OK\r\nX: x")],
        },
        "cut": {name: _json(cut(good)) for name, cut in CUT.items()} | {"a reset": [RESET]},
        "encoding": {name: _json(encode(good)) for name, encode in ENCODED.items()},
        "duplication": {"a key twice": _json('{"status": "ok", "status": 7}')},
        "order": {"the body first": [good + b"\r\n" + reply(body=b"")]},
        "place": {"elsewhere": REDIRECTS["place"]["another host"],
                  "in a circle": REDIRECTS["order"]["in a circle"]},
        "permission": {"no": HEADERS["permission"]["a status of 401"][0]},
        "full disk": {"no room over there": HEADERS["full disk"]["no room over there"][0]},
        "lost": {"nothing": [], "gone": HEADERS["lost"]["gone"][0]},
        "version": {"HTML of a new version": _json("<html>Metabase</html>"),
                    "members of long ago": _json(good)},
    }  # fmt: skip
    for kind, named in whats.items():
        for name, steps in named.items():
            yield Case(METABASE, kind, name, steps, failed)


RECEIVER_SURFACES = [
    Surface(RECEIVER, list(_receiver_cases()), _bring_alert, {}),
    Surface(METABASE, list(_metabase_cases()), _bring_metabase, {}),
]
