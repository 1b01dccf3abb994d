"""What all sources share of what they are asked for: names in addresses, lists in pages."""

from collections.abc import Iterator
from urllib.parse import quote

from loader.warehouse.errors import TerminalError
from loader.warehouse.text import printable, shortened

# The longest list known, of who trades bitcoin, has less than half as many.
MOST_PAGES = 400
_LONGEST_SHOWN = 60


def page_numbers(what: str, first: int = 1) -> Iterator[int]:
    """The numbers of the pages of a list; raises TerminalError when it goes on after all."""
    yield from range(first, MOST_PAGES + 1)
    raise TerminalError(f"{what} does not end after {MOST_PAGES} pages")


def path_segment(name: str) -> str:
    """A name as one segment of a path, quoted: whatever is in it, it leads nowhere else.

    Raises TerminalError for a name that no quoting makes harmless, because dots are never quoted,
    or that is none.
    """
    if not name.isprintable() or name.strip() in ("", ".", ".."):
        shown = printable(shortened(name, _LONGEST_SHOWN))
        raise TerminalError(f"'{shown}' is no name that anything can be asked for by")
    return quote(name, safe="")
