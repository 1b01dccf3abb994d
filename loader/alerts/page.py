"""Where on the page that `dashboards serve` shows a notice's market can be looked at."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from loader.alerts.known import Delivery, Episode
from loader.alerts.notices import Notice
from loader.warehouse.clock import MINUTE

# What came before an alert, and what became of it.
_AROUND = 10 * MINUTE


def link(page_url: str, notice: Notice) -> str:
    """The address of the view with the book and the minutes that the notice is about.

    The page's addresses are those of `dashboards/serve`; a test holds both together.
    """
    books = {each.book for each in notice.deliveries}
    chosen = {"book": notice.first.book} if len(books) == 1 else {}
    since = min(_since(each) for each in notice.deliveries)
    chosen["from"] = _instant(since - _AROUND)
    ends = [each.about.seen_until for each in notice.deliveries if isinstance(each.about, Episode)]
    if ends:
        chosen["to"] = _instant(max(ends) + _AROUND)
    return f"{page_url.rstrip('/')}/dashboards/spread-monitor?{urlencode(chosen)}"


def _since(delivery: Delivery) -> datetime:
    about = delivery.about
    return about.opened_at if isinstance(about, Episode) else delivery.known_as


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
