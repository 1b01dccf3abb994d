"""Replies of HTTP, past what servers say before them (100, 102 Processing, 103 Early Hints)."""

import http.client
from http import HTTPStatus

# Before one reply. No server known says more than a few.
MOST_INTERIM = 20


class FinalReply(http.client.HTTPResponse):
    """Python's own passes over 100 Continue alone, and takes any other for the reply itself."""

    def begin(self) -> None:
        """Read the head of the reply; raises BadStatusLine where too much is said before it."""
        for _ in range(MOST_INTERIM + 1):
            super().begin()
            # After 101 the connection speaks something else, which nobody has asked it to.
            if self.status >= HTTPStatus.OK or self.status == HTTPStatus.SWITCHING_PROTOCOLS:
                return
            # As they are before the first look.
            self.headers = self.msg = None  # type: ignore[assignment]
        raise http.client.BadStatusLine(f"over {MOST_INTERIM} interim replies")
