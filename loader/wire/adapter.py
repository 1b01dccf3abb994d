"""Connections that end with the allowance, or the bytes, of the exchange that goes over them."""

import io
import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from loader.warehouse.allowance import end_if_over, goes_over
from loader.wire.interim import FinalReply
from loader.wire.messages import unusable_proxy
from loader.wire.reply import MAX_BODY_BYTES, TooLargeError

# Of one exchange: headers, the frames of chunks, whatever comes before and after the body.
MOST_BYTES = 2 * MAX_BODY_BYTES


class BoundedAdapter(HTTPAdapter):
    """An adapter for work within an `Allowance`; it does not try again by itself."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def send(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        """Send; raises InvalidProxyURL where that fails for what the environment says."""
        try:
            return super().send(request, *args, **options)
        except (ValueError, requests.exceptions.InvalidSchema):
            # The address of the request was looked at when it was made.
            if select_proxy(str(request.url), options.get("proxies")):
                raise requests.exceptions.InvalidProxyURL(unusable_proxy()) from None
            raise

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The pools of connections that go through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        # SOCKS has pools of its own, which connect in another way.
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


class _BoundedStream(io.RawIOBase):
    """What comes out of a socket, up to a limit."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream
        self._left = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._stream.readinto(buffer)
        # A socket that was cut looks like one that has come to its end.
        end_if_over()
        self._left -= count or 0
        if self._left < 0:
            raise TooLargeError
        return count

    def close(self) -> None:
        super().close()
        self._stream.close()


class _BoundedSocket:
    """A socket, as far as a reply needs one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedStream(self._socket.makefile("rb", buffering=0)))


class _Reply(FinalReply):
    def __init__(self, connected: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(_BoundedSocket(connected), *arguments, **options)  # type: ignore[arg-type]


class _Connection(HTTPConnection):
    response_class = _Reply

    def _new_conn(self) -> socket.socket:
        # Here a proxy's answer is yet to come.
        connected = super()._new_conn()
        goes_over(connected)
        return connected

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        # With TLS it is another one by now (to a proxy that has TLS itself, one within another),
        # and one that is used again was made for another exchange.
        goes_over(getattr(self.sock, "socket", self.sock))
        return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}
