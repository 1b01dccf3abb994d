"""What is set from outside, as texts: in the environment, or else in a file of NAME=value lines."""

import io
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from loader.warehouse.errors import UsageError
from loader.warehouse.text import nearest_name, shown_path

PREFIX = "WAREHOUSE_"
# The file that is read in the place of `.env`; the null device for none.
ENV_FILE = "WAREHOUSE_ENV_FILE"
# What begins like ours and is no setting: the file's name, and dbt's login in the stack.
OTHERS = {ENV_FILE, "WAREHOUSE_DBT_USER", "WAREHOUSE_DBT_PASSWORD"}
# Far more than all settings take.
MOST_BYTES = 1 << 20

log = logging.getLogger(__name__)


def given(settings: Iterable[str], default: Path) -> dict[str, str]:
    """The texts that are set for settings, by their names as in `bitso_url`.

    Blanks around a text are no part of it, and an empty one is as good as none. A name that is
    like ours and known to nobody is warned of. Raises UsageError for a file that cannot be read.
    """
    names = {f"{PREFIX}{name}".upper(): name for name in settings}
    texts: dict[str, str] = {}
    for source in (_of_file(default), os.environ):
        for any_case, text in source.items():
            name = any_case.upper()
            if name in names and (value := (text or "").strip()):
                texts[names[name]] = value
            elif name.startswith(PREFIX) and name not in names and name not in OTHERS:
                _warn(any_case, names.values())
    return texts


def _warn(name: str, settings: Iterable[str]) -> None:
    close = nearest_name(name[len(PREFIX) :], settings)
    hint = f": did you mean {PREFIX}{close.upper()}?" if close else ""
    log.warning("%s is no setting%s", name, hint)


def _of_file(default: Path) -> Mapping[str, str | None]:
    named = os.environ.get(ENV_FILE)
    if not named and not os.path.lexists(default):
        return {}
    path = Path(named or default)
    who = f"{ENV_FILE}: " if named else ""
    try:
        text = _read(path)
    except OSError as error:
        problem = error.strerror or str(error)
        if named and isinstance(error, FileNotFoundError):
            problem += f"; {os.devnull} stands for no file"
    except UnicodeError:
        problem = "is not text in UTF-8"
    else:
        for each in parse_stream(io.StringIO(text)):
            if each.error:
                line = f"line {each.original.line} is not NAME=value"
                raise UsageError(f"{who}{shown_path(path)}: {line}")
        return dotenv_values(stream=io.StringIO(text))
    raise UsageError(f"{who}{shown_path(path)}: {problem}")


def _read(path: Path) -> str:
    """The text of a file; raises OSError or UnicodeError where it is none."""
    found = path.stat()
    if os.path.samestat(found, os.stat(os.devnull)):  # noqa: PTH116 (a text, no path)
        return ""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "is not a regular file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(0, f"has more than {MOST_BYTES >> 20} MiB: it is no file of settings")
    if b"\0" in content:
        raise UnicodeError
    return content.decode("utf-8-sig")
