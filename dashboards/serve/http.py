"""HTTP with patience for no one: who is slow to say what he wants is left."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection, or the first byte of the next request, to the end of the headers.
HEAD_SECONDS = 5.0


class PromptProtocol(H11Protocol):
    """uvicorn's own, which waits for headers without end."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Hear a piece; the end of the headers ends the waiting."""
        self._wait_for_head()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_is_over()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._head_is_over()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._limit is None:
            self._limit = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_over(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
