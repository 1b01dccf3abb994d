"""What the columns of somebody else's file are called here: `--columns compra=bid,event_date=`."""

import csv
from collections.abc import Collection, Mapping, Sequence

from loader.warehouse.errors import UsageError
from loader.warehouse.text import nearest, shortened

# What may stand around a name in a header and is no part of it.
_AROUND = " \t\r\n'\"\ufeff"


def plain_name(name: str) -> str:
    """A column's name without what is around it, in lower case: how names are compared."""
    return name.strip(_AROUND).lower()


class ColumnNames:
    """Their names of columns, each with ours, or with None where the column is left out."""

    def __init__(self, ours: Mapping[str, str | None] | None = None) -> None:
        self.ours = dict(ours or {})

    @classmethod
    def parse(cls, text: str, known: Collection[str] = ()) -> "ColumnNames":
        """Read `theirs=ours,...`; `theirs=` leaves a column out, quotes hold a comma together.

        With `known`, ours must be one of them. Raises UsageError, saying what would be right.
        """
        ours: dict[str, str | None] = {}
        try:
            parts = [part for part in next(csv.reader([text], strict=True), []) if part.strip()]
        except csv.Error:
            raise UsageError(
                f"--columns: {shortened(text, 60)!r}: the quotes do not close"
            ) from None
        for part in parts:
            theirs, equals, own = part.rpartition("=")
            name, own = plain_name(theirs), plain_name(own)
            # A column without a name can be left out: pandas writes one for its index.
            if not equals or not (name or not own):
                raise UsageError(
                    f"--columns: {shortened(part, 60)!r} is not THEIRS=OURS, nor THEIRS= to leave "
                    "a column out"
                )
            if name in ours:
                raise UsageError(f"--columns: {shortened(name, 60)!r} is named twice")
            if own and known and own not in known:
                raise UsageError(
                    f"--columns: {shortened(own, 60)!r} is no column here"
                    f"{nearest(own, known) or ': ' + ', '.join(sorted(known))}"
                )
            ours[name] = own or None
        return cls(ours)

    def rename(self, header: Sequence[str]) -> list[str | None]:
        """The columns of a header by our names, None for those that are left out."""
        names = map(plain_name, header)
        return [self.ours.get(name, name) for name in names]
