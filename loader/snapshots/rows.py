"""The rows of a snapshot file on their way: good ones into COPY, bad and repeated ones aside."""

import sys
from collections.abc import Iterable, Iterator
from itertools import tee

from tqdm import tqdm

from loader.snapshots.reading import BadRow, ExactRow, SnapshotFile
from loader.warehouse.ledger.quarantine import QuarantineFile, SetAside
from loader.warehouse.ledger.runs import LedgerRun


class SeenIds:
    """Finds, while a file is read, the ids that come twice: a byte an id, up to 32 MiB.

    Where it gives up (ids too far apart, too many repeats), Postgres finds them.
    """

    LARGEST = 1 << 25
    MOST_REPEATED = 100_000

    def __init__(self) -> None:
        self.is_complete = True
        self.repeated: set[int] = set()
        self._seen = bytearray()

    def add(self, ids: list[int]) -> None:
        """Take note of some more ids."""
        largest = max(ids, default=0)
        if largest >= self.LARGEST or len(self.repeated) > self.MOST_REPEATED:
            self.is_complete = False
            return
        if largest >= len(self._seen):
            size = min(max(largest + 1, 2 * len(self._seen)), self.LARGEST)
            self._seen.extend(bytes(size - len(self._seen)))
        seen = self._seen
        if any(map(seen.__getitem__, ids)) or len(set(ids)) < len(ids):
            self._add_repeated(ids)
        for number in ids:
            seen[number] = 1

    def _add_repeated(self, ids: list[int]) -> None:
        seen = self._seen
        for number in ids:
            if seen[number]:
                self.repeated.add(number)
            seen[number] = 1


class GoodRows:
    """A file's good rows as COPY input with line numbers; the bad ones go to a spool on disk."""

    def __init__(self, file: SnapshotFile, run: LedgerRun, spool: QuarantineFile) -> None:
        self._file = file
        self._run = run
        self._spool = spool
        self.error: BaseException | None = None
        self.ids = SeenIds()
        # Repeated ids are found while reading only where the id is the first column, as in every
        # known file; elsewhere Postgres finds them.
        self.ids.is_complete = file.columns[0] == "id"
        self._records = file.records()
        self._bar = tqdm(
            total=file.progress[1], unit="B", unit_scale=True, desc=file.name,
            disable=not sys.stderr.isatty(), leave=False,
        )  # fmt: skip

    def read(self, _size: int = -1) -> bytes:
        """The next rows, b"" at the end. COPY calls it; `error` keeps what it raised."""
        try:
            return self._next_rows()
        except BaseException as error:
            self.error = error
            raise

    def _next_rows(self) -> bytes:
        for record in self._records:
            self._bar.update(self._file.progress[0] - self._bar.n)
            if isinstance(record, BadRow):
                self._run.rows_read += 1
                self.set_aside(record)
            elif isinstance(record, ExactRow):
                self._run.rows_read += 1
                self._note_ids([record.text])
                return b"%d,%b\n" % (record.line, record.text)
            else:
                lines = record.lines.split(b"\n")
                lines.pop()
                self._run.rows_read += len(lines)
                self._note_ids(lines)
                return b"".join(map(b"%d,%b\n".__mod__, enumerate(lines, start=record.first_line)))
        return b""

    def _note_ids(self, lines: list[bytes]) -> None:
        if self.ids.is_complete:
            self.ids.add([int(line.partition(b",")[0]) for line in lines])

    def set_aside(self, bad: BadRow) -> None:
        """Spool a row for ops.quarantine."""
        if self._run.rows_quarantined < 3:
            examples = self._run.detail.setdefault("bad_rows", [])
            examples.append(f"line {bad.line}: {bad.reason}")
        location = f"{self._file.name}:{bad.line}"
        self._spool.add(SetAside(location, bad.code, bad.reason, bad.raw, bad.line))

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()


def differing_repeats(
    repeats: Iterable[tuple[int, int, bool]], run: LedgerRun, file: SnapshotFile
) -> Iterator[BadRow]:
    """Count the rows that were taken out again; yield those unlike the first with their key."""

    def differing() -> Iterator[tuple[int, int]]:
        for line, first_line, is_identical in repeats:
            run.rows_inserted -= 1
            run.rows_duplicate += is_identical
            if not is_identical:
                yield line, first_line

    pairs, lines = tee(differing())
    # The rows themselves are gone from the partition; their text is still in the file.
    texts = file.raw_rows(line for line, _ in lines)
    for (line, first_line), raw in zip(pairs, texts, strict=True):
        reason = f"its key was already seen in line {first_line}, with other values"
        yield BadRow(line, "repeated_key", reason, raw)
