"""An error in the words that a log can take, also one that nobody thought of."""

import traceback
from pathlib import Path

from websockets.exceptions import InvalidProxy, WebSocketException

from loader.warehouse.errors import WarehouseError
from loader.warehouse.text import squeezed
from loader.warehouse.values import BadValueError
from loader.wire.messages import unusable_proxy

LONGEST_CHARACTERS = 200
# What the world outside does; anything else is a fault of this program.
_FROM_OUTSIDE = (WarehouseError, BadValueError, OSError, EOFError, WebSocketException)


def from_outside(error: BaseException) -> str:
    """What went wrong out there, on one line, cut and escaped."""
    if isinstance(error, InvalidProxy):
        return unusable_proxy()
    return shown_text(str(error)) or type(error).__name__


def told(error: BaseException) -> str:
    """What went wrong, on one line, cut and escaped; of a fault of this program also where."""
    said = from_outside(error)
    if isinstance(error, _FROM_OUTSIDE):
        return said
    places = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"a fault of this program, please report it: {type(error).__name__}{where}: {said}"


def shown_text(text: str) -> str:
    """What somebody else has sent, for a log: on one line, cut and escaped."""
    return squeezed(text, LONGEST_CHARACTERS)
