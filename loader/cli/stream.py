"""`loader stream`: the daemon that records every second."""

import click

from loader.cli.typed import books_option
from loader.warehouse.signals import Terminated, end_if_told


@click.command()
@books_option
def stream(*, books: tuple[str, ...]) -> None:
    """Record each book every second from Bitso's WebSocket, until terminated."""
    import asyncio

    asyncio.run(_stream(books))
    # It only ever ends because it was told to: exit code 143, as after any SIGTERM.
    raise Terminated


async def _stream(books: tuple[str, ...]) -> None:
    import asyncio
    import signal

    from loader.market.live import open_bitso
    from loader.stream.daemon import Options, Stream
    from loader.stream.spool import Spool
    from loader.stream.word import spool_path
    from loader.warehouse.postgres.connection import connect
    from loader.warehouse.settings import get_settings

    settings = get_settings()
    daemon = Stream(
        books,
        url=settings.bitso_stream_url,
        rest=open_bitso,
        spool=Spool(spool_path(settings), settings.stream_spool_mib << 20),
        connect=lambda: connect("loader"),
        options=Options(settings.stream_depth, settings.stream_check_seconds),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, daemon.stop)
    # It may have come while all of this was imported, where its exception gets lost.
    end_if_told()
    await daemon.run()
