"""What is told of dbt's lines: how far it is, and whole what went wrong; the others are in its log.

As dbt 1.11 writes them with `--no-use-colors`: each with the time in front, but for the second and
later lines of one message.
"""

import re
from collections.abc import Callable

# dbt puts the time in front of its lines.
STAMP = re.compile(r"^\d\d:\d\d:\d\d +")
# Hooks, before and after, are counted by themselves.
_NODE = re.compile(r"\d+ of (?P<total>\d+) (?P<what>[A-Z]+) (?!hook)")
# A list of the failures and warnings of a run; a run that could not begin; a warning on the way.
_TROUBLE = re.compile(r"Completed with |Encountered an error|\[WARNING\]")
_DONE = "Done. "


class DbtProgress:
    """Hears dbt's lines, and tells a few of them."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._total = self._done = 0
        self._is_told = False
        # The list of what went wrong goes on until the line that sums up.
        self._is_list = False

    def hear(self, line: str) -> None:
        """A line, as dbt wrote it."""
        text = STAMP.sub("", line).rstrip()
        if text != line.rstrip():
            self._begin(text)
        if self._is_told and text:
            self._tell(f"{text}\n")

    def _begin(self, text: str) -> None:
        """The first line of a message."""
        if node := _NODE.match(text):
            self._count(int(node["total"]), node["what"])
        is_end = text.startswith(_DONE)
        is_trouble = _TROUBLE.match(text) is not None
        self._is_list = not is_end and (self._is_list or (is_trouble and text[0] != "["))
        self._is_told = self._is_list or is_trouble or is_end

    def _count(self, total: int, what: str) -> None:
        if not self._total:
            self._total = total
            self._tell(f"dbt: {total} models and tests to run\n")
        if what == "START":
            return
        before, self._done = self._done, self._done + 1
        # In quarters; the line that sums up is the last one.
        if self._done < total and before * 4 // total < self._done * 4 // total:
            self._tell(f"dbt: {self._done} of {total} done\n")
