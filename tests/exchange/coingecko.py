"""CoinGecko: exchanges and tickers, in pages, for keys of two plans on two hosts."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, NamedTuple

from tests.exchange.market import BOOKS, Market, noise, plain
from tests.exchange.replies import Reply, Request, raw

DEMO_KEY = "CG-demo0000000000000000000"
PRO_KEY = "CG-pro00000000000000000000"
TICKERS_A_PAGE = 100
RATE_LIMIT = "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing"

_COIN_IDS = {
    "btc": "bitcoin", "eth": "ethereum", "xrp": "ripple", "ltc": "litecoin", "sol": "solana",
    "usdt": "tether", "doge": "dogecoin", "ada": "cardano",
}  # fmt: skip
_ELSEWHERE = ["btc_eur", "btc_jpy", "eth_btc", "eth_eur", "btc_fdusd", "xrp_eur"]


class Listed(NamedTuple):
    """A pair on an exchange, and its daily volume in bitcoin."""

    exchange: str
    base: str
    target: str
    volume: Decimal


class CoinGeckoApi:
    """Answers below `/api/v3` of one of the two hosts."""

    def __init__(self, market: Market, plan: Literal["demo", "pro"], exchanges: int = 300) -> None:
        self.market = market
        self.plan = plan
        self.exchange_ids = [f"exchange_{n:03}" for n in range(1, exchanges + 1)]
        self.exchange_ids[19] = "bitso"

    def answer(self, request: Request) -> Reply:
        """One call."""
        refusal = self._refusal(request)
        if refusal:
            return refusal
        page = int(request.query.get("page", "1"))
        match request.path.strip("/").split("/"):
            case ["ping"]:
                return Reply(200, {"gecko_says": "(V3) To the Moon!"})
            case ["exchanges"]:
                size = min(int(request.query.get("per_page", "100")), 250)
                rows = [self._exchange(n, request.at) for n in range(len(self.exchange_ids))]
                return _page(rows, page, size)
            case ["exchanges", exchange, "tickers"]:
                return self._tickers(
                    [listed for listed in self.listed if listed.exchange == exchange],
                    exchange in self.exchange_ids,
                    "exchange",
                    page,
                    request.at,
                )
            case ["coins", coin, "tickers"]:
                found = [one for one in self.listed if coin_id(one.base) == coin]
                return self._tickers(
                    sorted(found, key=lambda one: -one.volume),
                    bool(found),
                    "coin",
                    page,
                    request.at,
                )
        return Reply(404, {"error": "Incorrect path. Please check https://www.coingecko.com/api/"})

    def _refusal(self, request: Request) -> Reply | None:
        name = f"x-cg-{self.plan}-api-key"
        key = request.headers.get(name) or request.query.get(name.replace("-", "_"))
        if key is None:
            return _status(401, 10002, "API Key Missing.") if self.plan == "pro" else None
        if key == (PRO_KEY if self.plan == "demo" else DEMO_KEY):
            code, here, there = (
                (10010, "api", "pro-api") if self.plan == "demo" else (10011, "pro-api", "api")
            )
            message = f"change your root URL from {here}.coingecko.com to {there}.coingecko.com"
            return Reply(400, {"error_code": code, "status": {"error_message": message}})
        if key != (DEMO_KEY if self.plan == "demo" else PRO_KEY):
            # A service that says the key back, as some do.
            return _status(401, 10002, f"{key} is not a valid API Key")
        return None

    @cached_property
    def listed(self) -> list[Listed]:
        """Who trades what: Bitso its own books, the others some of them and some more."""
        found = []
        for rank, exchange in enumerate(self.exchange_ids, 1):
            for book in [*BOOKS, *_ELSEWHERE]:
                base, _, target = book.partition("_")
                share = noise(self.market.seed, exchange, book)
                if (exchange == "bitso" and book in BOOKS) or (
                    exchange != "bitso" and share > Decimal("0.8")
                ):
                    volume = ((Decimal("1.1") + share) * 5000 / rank).quantize(Decimal("1e-8"))
                    found.append(Listed(exchange, base.upper(), target.upper(), volume))
        return found

    def _exchange(self, index: int, at: datetime) -> dict[str, Any]:
        exchange = self.exchange_ids[index]
        day = int(at.timestamp()) // 86400
        volume = (2 + noise(self.market.seed, exchange, day)) * 90_000 / (index + 1)
        is_known = index < 200
        return {
            "id": exchange,
            "name": exchange.replace("_", " ").title(),
            "year_established": 2014 if is_known else None,
            "country": "Gibraltar" if is_known else None,
            "description": "",
            "url": f"https://{exchange}.example/",
            "image": f"https://images.example/{exchange}.png",
            "has_trading_incentive": False,
            "trust_score": 10 - index // 30 if is_known else None,
            "trust_score_rank": index + 1 if is_known else None,
            "trade_volume_24h_btc": raw(volume),
        }

    def _tickers(
        self, found: Sequence[Listed], is_known: bool, kind: str, page: int, at: datetime
    ) -> Reply:
        if not is_known:
            return Reply(404, {"error": f"{kind} not found"})
        reply = _page(
            [self._ticker(listed, at) for listed in found[_window(page, TICKERS_A_PAGE)]],
            1,
            TICKERS_A_PAGE,
        )
        reply.headers.update({"total": str(len(found))})
        reply.document = {"name": kind, "tickers": reply.document}
        return reply

    def _ticker(self, listed: Listed, at: datetime) -> dict[str, Any]:
        stamp = f"{at:%Y-%m-%dT%H:%M:%S}+00:00"
        last = Decimal(104_000) * (1 + noise(listed) / 100)
        return {
            "base": listed.base,
            "target": listed.target,
            "market": {
                "name": listed.exchange.replace("_", " ").title(),
                "identifier": listed.exchange,
                "has_trading_incentive": False,
            },
            "last": raw(plain(last)),
            "volume": raw(plain(listed.volume)),
            "converted_last": {
                "btc": raw("1.0"),
                "eth": raw("26.66"),
                "usd": raw(plain(last.quantize(Decimal(1)))),
            },
            "converted_volume": {
                "btc": raw(f"{listed.volume:.3e}"),
                "eth": 0,
                "usd": raw(plain((listed.volume * 104_000).quantize(Decimal(1)))),
            },
            "trust_score": None,
            "bid_ask_spread_percentage": raw("0.010013"),
            "timestamp": stamp,
            "last_traded_at": stamp,
            "last_fetch_at": stamp,
            "is_anomaly": False,
            "is_stale": False,
            "trade_url": None,
            "token_info_url": None,
            "coin_id": coin_id(listed.base),
            "target_coin_id": coin_id(listed.target),
        }


def coin_id(symbol: str) -> str:
    """CoinGecko's name of a coin."""
    return _COIN_IDS.get(symbol.lower(), symbol.lower())


def _window(page: int, size: int) -> slice:
    return slice((page - 1) * size, page * size)


def _page(rows: list[Any], page: int, size: int) -> Reply:
    headers = {"total": str(len(rows)), "per-page": str(size)}
    if page * size < len(rows):
        headers["Link"] = f'<?page={page + 1}>; rel="next"'
    return Reply(200, rows[_window(page, size)], headers=headers)


def _status(status: int, code: int, message: str) -> Reply:
    return Reply(status, {"status": {"error_code": code, "error_message": message}})
