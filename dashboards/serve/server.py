"""The server: a socket, uvicorn, and how much of it anybody may use."""

import logging
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import uvicorn

from dashboards.definitions import load_dashboards
from dashboards.serve.access import Access, is_loopback
from dashboards.serve.app import LivePage, routes
from dashboards.serve.http import PromptProtocol
from loader.warehouse.errors import TerminalError, UsageError
from loader.warehouse.postgres.sample import shown_while_alone
from loader.warehouse.settings import get_settings
from loader.warehouse.text import quoted

MOST_CONNECTIONS = 300
LONGEST_HEAD = 16_384


def serve(host: str, port: int, listening: Callable[[str], None]) -> None:
    """Serve until a signal ends it; `listening` is told the address once it is reached.

    Raises UsageError for an address that others reach while no password is set.
    """
    if not host:
        raise UsageError("--host is empty: the address to listen at is wanted")
    settings = get_settings()
    password = settings.page_password.get_secret_value()
    if not password and not is_loopback(host):
        raise UsageError(
            f"{quoted(host)} is reached by others: set WAREHOUSE_PAGE_PASSWORD, "
            "which they are asked for"
        )
    load_dashboards()
    shown_while_alone()
    named = {urlsplit(settings.page_url).hostname if settings.page_url else None, host.lower()}
    page = LivePage()
    access = Access(routes(page), password, frozenset(filter(None, named)))
    # It logs each odd request, and requests are not ours.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    with _listening_at(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        listening(f"http://{shown}:{listener.getsockname()[1]}")
        try:
            uvicorn.Server(_config(access)).run([listener])
        finally:
            page.close()


def _config(access: Access) -> uvicorn.Config:
    return uvicorn.Config(
        access,
        http=PromptProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
    )


def _listening_at(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except (OSError, ValueError) as error:
        # Python puts the address behind it once more; what is no name at all is a ValueError.
        said = error.strerror if isinstance(error, OSError) else "no such address"
        reason = str(said).partition(" (while ")[0]
        raise TerminalError(f"cannot listen at {quoted(host)}, port {port}: {reason}") from None
