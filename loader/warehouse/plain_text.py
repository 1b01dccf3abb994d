"""A text file as UTF-8 with line ends of today, where what it is cannot be mistaken."""

import codecs

from loader.warehouse.errors import RefusedError

_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class PlainText:
    """Turns the bytes of a file, piece by piece, into UTF-8 whose lines end with LF or CRLF.

    UTF-16 is told by its byte order mark, or by the zeros between the letters of a header.
    Latin-1 and its kin cannot be told from each other: their bytes stay as they are.
    """

    def __init__(self, name: str, start: bytes) -> None:
        """`start` are the first bytes of the file, four of them if it has as many."""
        self._name = name
        encoding = _encoding(start)
        self._decoder = (
            codecs.getincrementaldecoder(encoding)("surrogatepass") if encoding else None
        )
        self._ends_with_cr = False

    def end_lines_with_cr(self, text: bytes) -> bytes:
        """What was converted so far, its lines ended by CR alone; so are those that follow."""
        self._ends_with_cr = True
        return self._with_lf(text)

    def convert(self, piece: bytes, *, at_end: bool = False) -> bytes:
        """The next bytes; what they break off stays for the next call."""
        if self._decoder is not None:
            try:
                # Halves of surrogate pairs go on as bytes that are no UTF-8, and so to quarantine.
                piece = self._decoder.decode(piece, at_end).encode(errors="surrogatepass")
            except UnicodeDecodeError:
                raise RefusedError(
                    f"{self._name}: UTF-16 that ends inside a character: it is half-written"
                ) from None
        return self._with_lf(piece) if self._ends_with_cr else piece

    def _with_lf(self, text: bytes) -> bytes:
        if b"\n" in text or b'"' in text:
            raise RefusedError(
                f"{self._name}: lines end with CR, as on old Macs, and it has LF or quotes as "
                "well: save it with LF or CRLF line ends"
            )
        return text.replace(b"\r", b"\n")


def _encoding(start: bytes) -> str | None:
    if start[:2] in _BYTE_ORDER_MARKS:
        return _BYTE_ORDER_MARKS[start[:2]]
    if len(start) >= 4 and start[1:4:2] == b"\0\0" and 0 not in start[0:4:2]:
        return "utf-16-le"
    if len(start) >= 4 and start[0:4:2] == b"\0\0" and 0 not in start[1:4:2]:
        return "utf-16-be"
    return None
