"""The live market sources, as the settings want them."""

from dataclasses import replace

from loader.market import bitso, coincap, coingecko
from loader.market.bitso import Bitso
from loader.market.coincap import CoinCap
from loader.market.coingecko import CoinGecko
from loader.warehouse.clock import SYSTEM_CLOCK, Clock
from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.connection import connect
from loader.warehouse.settings import get_settings
from loader.wire.rate_budget import RateLimits, SharedBudget
from loader.wire.session import Manners, PoliteSession

# No setting, because no plan of CoinCap is stricter than this.
_COINCAP_CALLS_PER_MINUTE = 30
# CoinGecko and CoinCap mostly say themselves how long to wait, in Retry-After.
_SHORT_FREEZE = 5.0


def open_bitso(clock: Clock = SYSTEM_CLOCK) -> Bitso:
    """Bitso of the settings."""
    settings = get_settings()
    budget = _budget("bitso", RateLimits(settings.bitso_calls_per_minute), clock)
    session = PoliteSession("bitso", bitso.judge, budget, manners=_manners(), clock=clock)
    return Bitso(session, settings.bitso_url)


def open_coingecko(clock: Clock = SYSTEM_CLOCK) -> CoinGecko:
    """CoinGecko of the settings, with or without a key."""
    settings = get_settings()
    plan, key = settings.coingecko_plan, settings.coingecko_key.get_secret_value()
    if plan == "pro" and not key:
        raise TerminalError("coingecko: its pro plan needs a key: set WAREHOUSE_COINGECKO_KEY")
    session = PoliteSession(
        "coingecko",
        coingecko.judge,
        _budget(
            "coingecko",
            RateLimits(settings.coingecko_calls_per_minute, freeze=_SHORT_FREEZE),
            clock,
        ),
        key_header=(coingecko.KEY_HEADERS[plan], key) if key else None,
        manners=_manners(),
        clock=clock,
    )
    return CoinGecko(session, settings.coingecko_url or coingecko.URLS[plan])


def open_coincap(clock: Clock = SYSTEM_CLOCK) -> CoinCap:
    """CoinCap of the settings.

    Raises TerminalError when there is no key.
    """
    settings = get_settings()
    key = settings.coincap_key.get_secret_value()
    if not key:
        raise TerminalError("coincap: it needs a key: set WAREHOUSE_COINCAP_KEY")
    session = PoliteSession(
        "coincap",
        coincap.judge,
        _budget("coincap", RateLimits(_COINCAP_CALLS_PER_MINUTE, freeze=_SHORT_FREEZE), clock),
        key_header=("Authorization", f"Bearer {key}"),
        manners=_manners(),
        clock=clock,
    )
    return CoinCap(session, settings.coincap_url)


def _manners() -> Manners:
    settings = get_settings()
    return Manners(settings.http_timeout_seconds, settings.http_attempts)


def _budget(name: str, limits: RateLimits, clock: Clock) -> SharedBudget:
    """Kept in the warehouse: what one command was told to wait, the next one waits too."""
    limits = replace(limits, max_wait=get_settings().max_wait_seconds)
    return SharedBudget(name, limits, lambda: connect("loader"), clock)
