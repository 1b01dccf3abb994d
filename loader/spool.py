"""Seconds of the stream that are not in Postgres yet, oldest first, in a file."""

from pathlib import Path


class Spool:
    """A file that only one process has open, of `most_bytes` at the most."""

    def __init__(self, path: Path, most_bytes: int = 256 << 20) -> None:
        raise NotImplementedError
