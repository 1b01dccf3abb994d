"""`loader tickers` and its like: the market by REST, or from a recording."""

from pathlib import Path

import click

from loader.cli.typed import books_option, print_runs


@click.command()
@books_option
def tickers(*, books: tuple[str, ...]) -> None:
    """Load a ticker of each book from Bitso."""
    from loader.market.jobs import load_tickers

    print_runs(load_tickers(books))


@click.command()
@books_option
def order_books(*, books: tuple[str, ...]) -> None:
    """Load the order book (50 levels a side) of each book from Bitso."""
    from loader.market.jobs import load_order_books

    print_runs(load_order_books(books))


@click.command()
def books() -> None:
    """Load the listing of the books that Bitso trades."""
    from loader.market.jobs import load_books

    print_runs(load_books())


@click.command()
@click.option("--again", is_flag=True, help="Also what was loaded in the last 20 hours.")
def exchanges(*, again: bool) -> None:
    """Load exchanges and who trades Bitso's markets from CoinGecko; goes on where it stopped."""
    from loader.market.jobs import load_exchanges

    print_runs(load_exchanges(again=again))


@click.command()
def exchange_volumes() -> None:
    """Load exchanges and their volumes from CoinCap (needs a key)."""
    from loader.market.jobs import load_exchange_volumes

    print_runs(load_exchange_volumes())


@click.command()
@click.argument("path", metavar="DIR|FILE", type=click.Path(path_type=Path, exists=True))
def replay(path: Path) -> None:
    """Load recorded market replies, as if they came now; what is loaded already stays."""
    from loader.market.recording import replay as load_recording

    print_runs(load_recording(path))
