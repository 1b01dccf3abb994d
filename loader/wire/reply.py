"""The body of a reply: as it comes over the wire and inflated, neither of them without bound."""

import gzip
import io
import zlib

import requests
import urllib3

from loader.wire.messages import root_cause, words_of

# The largest reply known, every order of a book, has 0.6 MiB. One wide character in a text makes
# Python take four times as much for all of it, and a payload is held several times on its way.
MAX_BODY_BYTES = 2 * 2**20
_CHUNK_BYTES = 64 * 2**10


class PassingError(Exception):
    """An exchange that failed; the next one may not."""


class TooLargeError(Exception):
    """A reply that nobody wants to hold in memory."""

    def __init__(self) -> None:
        super().__init__(f"a reply of over {MAX_BODY_BYTES >> 20} MiB")


def read_body(response: requests.Response) -> bytes:
    """The body as it comes, read piece by piece; raises PassingError or TooLargeError."""
    body = io.BytesIO()
    try:
        while piece := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            body.write(piece)
            if body.tell() > MAX_BODY_BYTES:
                raise TooLargeError
    except urllib3.exceptions.ReadTimeoutError:
        raise PassingError("the reply stopped half-way") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise PassingError(f"the reply was cut short: {words_of(root_cause(error))}") from None
    return body.getvalue()


def inflated(body: bytes, encoding: str) -> bytes:
    """The body without the one encoding that we ask for.

    Raises ValueError when it is in another one or damaged, TooLargeError.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise ValueError(f"in an encoding that was not asked for, {encoding}")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            plain = packed.read(MAX_BODY_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"not in the gzip that it should be: {error}") from None
    if len(plain) > MAX_BODY_BYTES:
        raise TooLargeError
    return plain
