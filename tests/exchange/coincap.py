"""CoinCap: version 3, which wants a key, and version 2, which is no more."""

from decimal import Decimal
from typing import Any

from tests.exchange.market import Market, noise
from tests.exchange.replies import Reply, Request

KEY = "coincap0000000000000000000000000000000000"
DEPRECATED = (
    "We are deprecating this version of the CoinCap API on March 31, 2025. "
    "Sign up for our new V3 API at https://pro.coincap.io/dashboard"
)
EXCHANGES = ["binance", "bitso", "Uniswap V3 (BSC)", *(f"venue {n}" for n in range(4, 84))]


class CoinCapApi:
    """Answers below `/v3` and `/v2`."""

    def __init__(self, market: Market) -> None:
        self.market = market

    def answer(self, request: Request) -> Reply:
        """One call."""
        millis = int(request.at.timestamp() * 1000)
        version, _, path = request.path.strip("/").partition("/")
        if version == "v2":
            return Reply(200, {"data": {"message": DEPRECATED}, "timestamp": millis})
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Reply(401, {"error": "Missing or invalid API key"})
        if path != "exchanges":
            return Reply(404, {"error": "not found"})
        limit = min(int(request.query.get("limit", "100")), 2000)
        offset = int(request.query.get("offset", "0"))
        ranks = range(1, len(EXCHANGES) + 1)[offset : offset + limit]
        return Reply(200, {"data": [self._row(n, millis) for n in ranks], "timestamp": millis})

    def _row(self, rank: int, millis: int) -> dict[str, Any]:
        name = EXCHANGES[rank - 1]
        volume = (2 + noise(self.market.seed, name, millis // 86_400_000)) * 10**9 / rank
        is_quiet = rank > 80
        return {
            "exchangeId": name,
            "name": name.title(),
            "rank": str(rank),
            "percentTotalVolume": None if is_quiet else f"{volume / 10**9:.36f}",
            "volumeUsd": None if is_quiet else f"{volume.quantize(Decimal('1e-16'))}",
            "tradingPairs": str(1000 // rank),
            "socket": None if is_quiet else rank % 3 == 0,
            "exchangeUrl": "empty_uri" if rank % 7 == 0 else f"https://venue{rank}.example/",
            "updated": 0 if is_quiet else millis,
        }
