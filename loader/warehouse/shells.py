"""What a shell is given when it completes a line: names that are one word there."""

import re
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

_NOT_PLAIN = re.compile(r"([^\w@%+=:,./-])")


class _BashComplete(BashComplete):
    """Bash puts a name into the line as it is; zsh and fish quote it themselves."""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """A line of type and value."""
        quoted = _NOT_PLAIN.sub(r"\\\1", str(item.value))
        # The `read` of click's script takes one level of backslashes away.
        return f"{item.type},{quoted}".replace("\\", "\\\\")


def quote_names() -> None:
    """From now on, bash is given names that it takes for one word."""
    add_completion_class(_BashComplete)
