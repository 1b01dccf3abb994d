"""Settings for as long as a block lasts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from loader.warehouse.settings import get_settings


@contextmanager
def settings(values: Mapping[str, str] | None = None, /, **more: str) -> Iterator[None]:
    """The environment with these, and afterwards as it was."""
    new = {**(values or {}), **more}
    before = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    get_settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        get_settings.cache_clear()
