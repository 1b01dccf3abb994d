"""Files that others hand in: opened without being led astray."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from loader.warehouse.errors import RefusedError
from loader.warehouse.text import shown

BUFFER_BYTES = 1 << 18


def open_regular(path: Path) -> BinaryIO:
    """Open without following a link and without waiting on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise RefusedError(f"{shown(path)}: a symbolic link, not a file") from None
        raise RefusedError(f"{shown(path)}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError(f"{shown(path)}: not a regular file")
    return open(descriptor, "rb", buffering=BUFFER_BYTES)
