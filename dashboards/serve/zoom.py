"""From a chart over time into a stretch of it: the same view from and to other instants."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dashboards.panels import Panel
from loader.warehouse.clock import DAY, HOUR

# What there is no room to list is reached in two steps: a day first.
_LENGTHS = (DAY, HOUR, HOUR / 2)
_MOST = 60


@dataclass(frozen=True)
class Stretch:
    """A part of the time that a chart shows."""

    first: datetime
    last: datetime

    @property
    def label(self) -> str:
        """What it is called: a day, or an hour or less in UTC."""
        if self.last - self.first > HOUR:
            return f"{self.first:%Y-%m-%d}"
        return f"{self.first:%Y-%m-%d %H:%M} UTC"


def stretches(panel: Panel) -> list[Stretch]:
    """The parts of a chart's time with something in them, the latest first.

    Days of what covers more than two of them, else hours, of an hour its halves; none of a chart
    whose points are whole days, of which there is nothing finer to see.
    """
    question = panel.question
    if panel.chart is None or question is None or question.chart is None:
        return []
    if question.chart.scale != "time" or not panel.is_of_instants:
        return []
    values = panel.chart["layer"][0]["data"]["values"]
    times = sorted({_utc(str(point["x"])) for point in values if point["y"] is not None})
    if not times:
        return []
    span = times[-1] - times[0]
    length = next((each for each in _LENGTHS if span > 2 * each), _LENGTHS[-1])
    starts = sorted({_start(time, length) for time in times}, reverse=True)
    # Without the instant at which the next one begins.
    last = length - timedelta(seconds=1)
    return [Stretch(start, start + last) for start in starts[:_MOST]]


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _start(time: datetime, length: timedelta) -> datetime:
    seconds = int(length.total_seconds())
    return datetime.fromtimestamp(time.timestamp() // seconds * seconds, UTC)
