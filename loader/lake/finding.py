"""The files of a lake: which of a directory's entries are data, and what their paths tell."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from loader.warehouse.text import shown_path
from loader.warehouse.values import is_book_name

_IS_DATA = re.compile(r".+\.(csv|parquet)(\.(gz|zip|zst))?", re.IGNORECASE | re.DOTALL).fullmatch
_NAMED = re.compile(r"([a-z0-9]+_[a-z0-9]+)_\d{8,14}").fullmatch
_DATE = re.compile(r"\d{4}-?\d\d-?\d\d").fullmatch
# Others are counted.
MOST_NAMED = 10
# Postgres indexes no more than 2,704 bytes of a text; the system opens paths of 4,096 and more.
LONGEST_PLACE_BYTES = 1000


@dataclass
class FoundFiles:
    """What a directory holds: files of data in the order of their names, and what is none.

    `unreadable` has the directories that cannot be looked into, with the reason.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    other_count: int = 0

    def pass_over(self, entry: Path) -> None:
        """Note something that is no data of a lake."""
        self.other_count += 1
        if len(self.others) < MOST_NAMED:
            self.others.append(place_of(entry, self.root))


def find_files(path: Path) -> FoundFiles:
    """The files of a directory and of those in it; of a file, itself, whatever its name.

    Data are `.csv` and `.parquet`, packed or not. Links are not followed, and names that begin
    with a dot or an underscore are nobody's data. A directory with the name of a file is looked
    into, as some programs write them; where there is no file in it, it is taken for a file, which
    it is not.
    """
    if not path.is_dir() or path.is_symlink():
        return FoundFiles(path.parent, [path])
    found = FoundFiles(path)
    named_as_files: list[Path] = []

    def note(error: OSError) -> None:
        place = place_of(Path(os.fsdecode(error.filename or path)), path)
        found.unreadable[place] = f"{place}: cannot be looked into: {error.strerror or error}"

    for directory, names, entries in os.walk(path, onerror=note):
        for name in sorted(names):
            entry = Path(directory, name)
            if name[0] not in "._" and _IS_DATA(name):
                named_as_files.append(entry)
            elif name[0] in "._" or os.path.islink(entry):  # noqa: PTH114 (never raises)
                found.pass_over(entry)
        names[:] = [name for name in names if name[0] not in "._"]
        for name in sorted(entries):
            entry = Path(directory, name)
            if name[0] not in "._" and _IS_DATA(name):
                found.files.append(entry)
            else:
                found.pass_over(entry)
    parents = {parent for file in found.files for parent in file.parents} if named_as_files else ()
    found.files += [entry for entry in named_as_files if entry not in parents]
    found.files.sort()
    return found


def place_of(file: Path, root: Path) -> str:
    """Where a file is in its lake, as text that any log, JSON or Postgres can hold and index."""
    inner = file.relative_to(root)
    place = shown_path(inner)
    if len(place.encode()) <= LONGEST_PLACE_BYTES:
        return place
    digest = hashlib.sha256(os.fsencode(inner)).hexdigest()[:16]
    # At most four bytes a character.
    return f"{place[: LONGEST_PLACE_BYTES // 8]}…{digest}…{place[-LONGEST_PLACE_BYTES // 10 :]}"


def book_in_path(path: Path) -> str | None:
    """The book that the directories or the name of a file tell, as the known layouts do."""
    # The case of other letters is another matter: some become a letter of ours.
    parts = [part.lower() if part.isascii() else "" for part in path.parts]
    for part in reversed(parts):
        key, _, value = part.partition("=")
        if key in ("book", "order_book") and is_book_name(value):
            return value
    for part, inner in pairwise(parts):
        # B/2024-07-30/10/..., or B/20240730/1030/...
        if is_book_name(part) and _DATE(inner):
            return part
    named = _NAMED(parts[-1].partition(".")[0])
    return named[1] if named and is_book_name(named[1]) else None
