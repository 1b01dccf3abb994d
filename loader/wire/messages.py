"""What others said of a fault, and what libraries did, in words of one line."""

import os
from http.client import HTTPException

from loader.warehouse.redaction import redacted
from loader.warehouse.text import printable, shortened

LONGEST_MESSAGE = 300
_PROXIES = {f"{scheme}_proxy" for scheme in ("http", "https", "ws", "wss", "socks", "all")}


def in_a_line(said: str) -> str:
    """One line, short, without our keys, that cannot act on a terminal."""
    # Our keys first: half of one would not be found.
    return printable(shortened(" ".join(redacted(said).split()), LONGEST_MESSAGE))


def root_cause(error: BaseException) -> BaseException:
    """The innermost reason, without the addresses and object names that wrap it."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def is_no_http(cause: BaseException) -> bool:
    """Whether somebody has answered, but not as HTTP has it."""
    return isinstance(cause, HTTPException | ValueError) and not isinstance(cause, OSError)


def words_of(error: BaseException) -> str:
    """What an error says, or at least what it is; not what Python says of a text that is none."""
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "a number that is none"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def unusable_proxy() -> str:
    """What is said of a proxy that cannot be used. Its address may hold a password."""
    names = sorted(name for name in os.environ if name.lower() in _PROXIES)
    told = f" ({', '.join(names)})" if names else ""
    return f"the proxy that the environment names{told} cannot be used"
