"""What others said of a fault, and what libraries did, in words of one line."""

from loader.warehouse.redaction import redacted
from loader.warehouse.text import printable, shortened

LONGEST_MESSAGE = 300


def in_a_line(said: str) -> str:
    """One line, short, without our keys, that cannot act on a terminal."""
    # Our keys first: half of one would not be found.
    return printable(shortened(" ".join(redacted(said).split()), LONGEST_MESSAGE))


def root_cause(error: BaseException) -> BaseException:
    """The innermost reason, without the addresses and object names that wrap it."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def words_of(error: BaseException) -> str:
    """What an error says, or at least what it is."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
