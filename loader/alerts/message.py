"""What a notice says, to people and to machines."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal

from loader.alerts.channels import Message
from loader.alerts.known import BookState, Coverage, Delivery, Ending, Episode
from loader.alerts.notices import Notice
from loader.alerts.page import link
from loader.warehouse.text import plain, printable, shortened

_REASONS = {
    "calm": "the spread is back below",
    "blind": "no more quotes came in: what the spread does now is not known",
    "unwatched": "nobody watches the book for this threshold any more",
}
_NOT_KNOWN = "not known"
# Of the names in a title: the rest is in the message.
_LONGEST_TITLE = 200
_LONGEST_CAUSE = 500


def message(
    notice: Notice, coverage: Coverage | None, ending: Ending | None, page_url: str | None = None
) -> Message:
    """The message of a notice; `ending` is that of its `lead`, where that has closed.

    `page_url` is where people find the dashboards: with it there is a link to what it is about.
    """
    facts = _facts(notice, coverage, ending)
    if page_url:
        facts["page"] = link(page_url, notice)
    lines = [f"{name}: {value}" for name, value in facts.items()]
    lines += _other_openings(notice)
    if notice.is_repeat:
        lines.append("This is a repeat: the same message may have reached you already.")
    key = notice.idempotency_key
    return Message(
        title=headline(notice),
        body="\n".join(lines),
        is_good_news=_is_good_news(notice),
        idempotency_key=key,
        facts={
            **facts,
            "event": notice.first.event,
            "is_repeat": "true" if notice.is_repeat else "false",
            "idempotency_key": key,
        },
    )


def lead(notice: Notice) -> Delivery:
    """Whose facts the message tells: the highest threshold; of those that closed, the last."""
    # They are in order of their thresholds, and `max` takes the first of equals.
    highest_first = notice.deliveries[::-1]
    if notice.first.event == "closed":
        return max(highest_first, key=lambda each: each.seen_until)
    return highest_first[0]


def headline(notice: Notice) -> str:
    """One line, for a title or a log."""
    again = "Repeat: " if notice.is_repeat else ""
    return shortened(f"{again}{_books(notice)}: {_what(notice)}", _LONGEST_TITLE)


def percent(share: Decimal) -> str:
    """A share (0 to 1) in percent; never rounded up to all of it."""
    return f"{plain((share * 100).quantize(Decimal('0.1'), ROUND_FLOOR))} %"


def _what(notice: Notice) -> str:
    event = notice.first.event
    if event == "blind":
        return f"not seen: {_cause(notice) or _NOT_KNOWN}"
    if event == "seen":
        return "seen again"
    limits = [each.threshold_pct or Decimal(0) for each in notice.deliveries]
    highest, lowest = _limit(limits[-1]), _limit(limits[0])
    if event == "opened":
        return f"spread is above {highest}"
    if event == "withdrawn":
        return f"spread was not above {lowest}, as later quotes show"
    reason = _reason(notice)
    if reason == "calm":
        return f"spread is no longer above {lowest}"
    if reason == "blind":
        return f"no quotes, so no longer known to be above {lowest}"
    if reason == "unwatched":
        return f"no longer watched for {lowest}"
    return f"no longer an alert: {reason}"


def _facts(notice: Notice, coverage: Coverage | None, ending: Ending | None) -> dict[str, str]:
    about = lead(notice).about
    facts = {"book": _books(notice)}
    if notice.first.threshold_pct is None:
        since = min(each.known_as for each in notice.deliveries)
        facts["since"] = _instant(since)
        if notice.first.event == "blind":
            facts["cause"] = _cause(notice) or _NOT_KNOWN
        return facts
    limits = [_limit(each.threshold_pct or Decimal(0)) for each in notice.deliveries]
    facts |= {"threshold": limits[-1], "thresholds": ", ".join(limits)}
    if not isinstance(about, Episode):
        return facts | {"since": _instant(lead(notice).known_as)}
    if about.closed_at and notice.first.event == "closed":
        facts |= _end_facts(about, about.closed_at, ending)
    else:
        facts |= _quote(about.spread, about.bid, about.ask)
        facts["since"] = _instant(about.opened_at)
    return facts | {"observations": str(about.observations), "coverage": _coverage(coverage)}


def _end_facts(episode: Episode, closed_at: datetime, ending: Ending | None) -> dict[str, str]:
    reason = episode.close_reason or _NOT_KNOWN
    # One that ended for another reason than a quote did not close with one.
    if episode.close_reason == "calm" and ending and ending.spread is not None:
        facts = _quote(ending.spread, ending.bid, ending.ask)
    else:
        facts = dict.fromkeys(("spread", "bid", "ask"), _NOT_KNOWN)
    limit = ending.close_below_pct if ending else None
    return facts | {
        "closes_below": _limit(limit) if limit is not None else _NOT_KNOWN,
        "since": _instant(episode.opened_at),
        "until": _instant(closed_at),
        "duration": str(closed_at - episode.opened_at),
        "peak": _pct(episode.peak_spread),
        "reason": f"{reason}: {_REASONS[reason]}" if reason in _REASONS else reason,
    }


def _other_openings(notice: Notice) -> Iterable[str]:
    """A line for each threshold that was not opened with the leading one."""
    if notice.first.event != "opened":
        return
    first = lead(notice).about
    for each in notice.deliveries:
        about = each.about
        if not isinstance(about, Episode) or not isinstance(first, Episode):
            continue
        if about.opened_at != first.opened_at:
            yield f"above {_limit(about.threshold_pct)} since {_instant(about.opened_at)}"


def _is_good_news(notice: Notice) -> bool:
    event = notice.first.event
    return event in ("seen", "withdrawn") or (event == "closed" and _reason(notice) == "calm")


def _reason(notice: Notice) -> str | None:
    about = notice.first.about
    return about.close_reason if isinstance(about, Episode) else None


def _cause(notice: Notice) -> str | None:
    about = notice.first.about
    cause = about.cause if isinstance(about, BookState) else None
    return cause and shortened(printable(cause), _LONGEST_CAUSE)


def _books(notice: Notice) -> str:
    return ", ".join(sorted({each.book for each in notice.deliveries}))


def _quote(spread: Decimal, bid: Decimal | None, ask: Decimal | None) -> dict[str, str]:
    return {
        "spread": _pct(spread),
        "bid": plain(bid) if bid is not None else _NOT_KNOWN,
        "ask": plain(ask) if ask is not None else _NOT_KNOWN,
    }


def _pct(spread: Decimal) -> str:
    return f"{plain(round(spread, 4))} %"


def _limit(threshold: Decimal) -> str:
    return f"{plain(threshold)} %"


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _coverage(coverage: Coverage | None) -> str:
    if coverage is None:
        return "not known"
    return f"{percent(coverage.share)} of the {coverage.span} from {_instant(coverage.since)}"
