"""SQL that is longer than a few lines: a `.sql` file beside the module that runs it."""

from functools import cache
from importlib import resources


@cache
def statement(package: str, name: str) -> str:
    """The text of `<name>.sql` in a package, with psycopg2's `%(name)s` where values go."""
    return (resources.files(package) / f"{name}.sql").read_text()
