"""Connections that end with the allowance of the exchange that goes over them."""

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from loader.warehouse.allowance import goes_over


class BoundedAdapter(HTTPAdapter):
    """An adapter for work within an `Allowance`; it does not try again by itself."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The pools of connections that go through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        # SOCKS has pools of its own, which connect in another way.
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


class _Connection(HTTPConnection):
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
