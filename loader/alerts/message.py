"""What an alert says, to people and to machines."""

from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal

from loader.alerts.channels import Message
from loader.alerts.plan import Delivery
from loader.alerts.store import Coverage
from loader.warehouse.text import plain

_REASONS = {
    "calm": "the spread is back below",
    "blind": "no more quotes came in: what the spread does now is not known",
    "unwatched": "nobody watches the book for this threshold any more",
}


def message(delivery: Delivery, coverage: Coverage | None) -> Message:
    """The message of a delivery."""
    episode = delivery.episode
    facts = {
        "book": episode.book,
        "threshold": f"{plain(episode.threshold_pct)} %",
        "spread": f"{plain(round(episode.spread, 4))} %",
        "bid": plain(episode.bid),
        "ask": plain(episode.ask),
        "since": _instant(episode.opened_at),
    }
    if delivery.event == "closed" and episode.closed_at and episode.close_reason:
        facts |= {
            "until": _instant(episode.closed_at),
            "peak": f"{plain(round(episode.peak_spread, 4))} %",
            "reason": f"{episode.close_reason}: {_REASONS[episode.close_reason]}",
        }
    facts |= {"observations": str(episode.observations), "coverage": _coverage(coverage)}
    lines = [f"{name}: {value}" for name, value in facts.items()]
    if delivery.is_repeat:
        lines.append("This is a repeat: the same message may have reached you already.")
    key = delivery.idempotency_key
    return Message(
        title=headline(delivery),
        body="\n".join(lines),
        is_good_news=delivery.event == "closed" and episode.close_reason == "calm",
        idempotency_key=key,
        facts={
            **facts,
            "event": delivery.event,
            "is_repeat": "true" if delivery.is_repeat else "false",
            "idempotency_key": key,
        },
    )


def headline(delivery: Delivery) -> str:
    """One line, for a title or a log."""
    episode = delivery.episode
    limit = f"{plain(episode.threshold_pct)} %"
    again = "Repeat: " if delivery.is_repeat else ""
    if delivery.event == "opened":
        return f"{again}{episode.book}: spread is above {limit}"
    if episode.close_reason == "calm":
        return f"{again}{episode.book}: spread is no longer above {limit}"
    if episode.close_reason == "unwatched":
        return f"{again}{episode.book}: no longer watched for {limit}"
    return f"{again}{episode.book}: no quotes, so no longer known to be above {limit}"


def percent(share: Decimal) -> str:
    """A share (0 to 1) in percent; never rounded up to all of it."""
    return f"{plain((share * 100).quantize(Decimal('0.1'), ROUND_FLOOR))} %"


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _coverage(coverage: Coverage | None) -> str:
    if coverage is None:
        return "not known yet"
    return f"{percent(coverage.share)} of the {coverage.span} from {_instant(coverage.since)}"
