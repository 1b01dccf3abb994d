"""A folder of backups: each is a directory that is there whole or not at all.

What is being written, and what is being dropped, has a name with a leading dot, which is no entry;
what a kill leaves of these, the next backup clears away.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from loader.warehouse.clock import SYSTEM_CLOCK
from loader.warehouse.errors import RefusedError, WarehouseError
from loader.warehouse.files import open_regular
from loader.warehouse.postgres.role_copies import DatabaseGrant, RoleCopy
from loader.warehouse.text import shown_path, told_path

MANIFEST, DUMP, SPOOL = "manifest.json", "warehouse.dump", "spool.jsonl"
FORMAT = 1
_PIECE_BYTES = 1 << 20
_MOST_MANIFEST_BYTES = 256 << 20
_NAME = "%Y%m%dT%H%M%S.%fZ"
_IS_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
_IS_LEFT = re.compile(rf"\.{_IS_NAME.pattern}\.(part|gone)")


class FileDigest(NamedTuple):
    """What a file of an entry must be."""

    size: int
    sha256: str


class Manifest(BaseModel):
    """What an entry holds, and what a restore of it must come to."""

    format: Literal[1]
    version: str
    taken_at: datetime
    server_version: int
    database: str
    # who owned what has no owner in `objects`
    user: str
    warehouse_id: str
    migrations: list[str]
    roles: list[RoleCopy]
    database_grants: list[DatabaseGrant]
    tables: dict[str, tuple[int, str]]
    objects: dict[str, tuple[str | None, list[str], str]]
    files: dict[str, FileDigest]

    @property
    def name(self) -> str:
        """What its entry is called."""
        return self.taken_at.strftime(_NAME)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files.values())


class EntryInMaking:
    """A directory that is no entry yet; `lock` is held for as long as somebody writes in it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.lock = lock

    def finish(self, manifest: Manifest) -> Path:
        """Make it an entry: all of it is on the disk before it has its name."""
        text = manifest.model_dump_json()
        whole = {"sha256": _text_digest(text), "manifest": json.loads(text)}
        with (self.path / MANIFEST).open("x") as file:
            json.dump(whole, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.fsync(self.lock)
        entry = self.path.rename(self.path.with_name(manifest.name))
        _sync(entry.parent)
        return entry


@contextlib.contextmanager
def in_making(folder: Path) -> Iterator[EntryInMaking]:
    """A new directory in a folder of backups; gone when the body did not make an entry of it."""
    folder.mkdir(parents=True, exist_ok=True)
    clear_away(folder)
    path = folder / f".{SYSTEM_CLOCK.now().strftime(_NAME)}.part"
    path.mkdir(mode=0o700)
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield EntryInMaking(path, lock)
    finally:
        os.close(lock)
        shutil.rmtree(path, ignore_errors=True)


def clear_away(folder: Path) -> None:
    """Remove what is no entry and that nobody is at work on."""
    for path in folder.iterdir():
        if not _IS_LEFT.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def digest_of(path: Path) -> FileDigest:
    """What a file is; raises RefusedError where it is none."""
    with _opened(path) as file:
        digest = hashlib.sha256()
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
        return FileDigest(file.tell(), digest.hexdigest())


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except RefusedError as error:
        raise RefusedError(f"{told_path(path.parent)}: {error}") from None


def find_whole(source: Path) -> tuple[Path, Manifest, list[str]]:
    """The entry that is meant, and why newer ones of the folder are not.

    Raises RefusedError, in one line, for what is no whole entry, and for a folder without one.
    """
    if (source / MANIFEST).exists():
        return source, checked(source), []
    entries = _entries(source)
    refused: list[str] = []
    for entry in entries:
        try:
            return entry, checked(entry), refused
        except WarehouseError as error:
            refused.append(str(error))
    if refused:
        raise RefusedError(refused[0])
    raise RefusedError(f"{told_path(source)}: no whole backup, nor a folder with one in it")


def checked(entry: Path) -> Manifest:
    """The manifest of an entry, once all files are found to be as it says."""
    manifest = read_manifest(entry)
    for name, wanted in manifest.files.items():
        if digest_of(entry / name) != wanted:
            raise RefusedError(f"{told_path(entry / name)}: it is not what was backed up")
    return manifest


def read_manifest(entry: Path) -> Manifest:
    """What an entry says of itself; raises RefusedError where it says nothing that we know."""
    path = entry / MANIFEST
    with _opened(path) as file:
        text = file.read(_MOST_MANIFEST_BYTES)
    try:
        whole = json.loads(text)
        inner = whole["manifest"]
        if inner["format"] != FORMAT:
            raise RefusedError(f"{told_path(path)}: a newer version wrote it: use that one")
        manifest = Manifest.model_validate(inner)
        if whole["sha256"] != _text_digest(manifest.model_dump_json()):
            raise RefusedError(f"{told_path(path)}: it is not what was backed up")
    except (ValueError, KeyError, TypeError, ValidationError, RecursionError):
        raise RefusedError(f"{told_path(path)}: it is no manifest of a backup") from None
    if not manifest.files.keys() <= {DUMP, SPOOL} or DUMP not in manifest.files:
        raise RefusedError(f"{told_path(path)}: it is no manifest of a backup")
    return manifest


def drop_old(folder: Path, warehouse: str, kept: int) -> list[str]:
    """Drop all but the newest entries of a warehouse; what cannot be read is left alone."""
    ours = []
    for entry in _entries(folder):
        with contextlib.suppress(WarehouseError):
            if read_manifest(entry).warehouse_id == warehouse:
                ours.append(entry)
    for entry in ours[kept:]:
        shutil.rmtree(entry.rename(entry.with_name(f".{entry.name}.gone")), ignore_errors=True)
    return [shown_path(entry.name) for entry in ours[kept:]]


def _entries(folder: Path) -> list[Path]:
    """The newest first."""
    try:
        found = [path for path in folder.iterdir() if _IS_NAME.fullmatch(path.name)]
    except OSError as error:
        raise RefusedError(f"{told_path(folder)}: {error.strerror}") from None
    return sorted(found, reverse=True)


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
