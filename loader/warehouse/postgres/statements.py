"""SQL that is longer than a few lines: a `.sql` file beside the module that runs it."""

from functools import cache
from importlib import resources
from typing import Any


@cache
def statement(package: str, name: str) -> str:
    """The text of `<name>.sql` in a package, with psycopg2's `%(name)s` where values go."""
    return (resources.files(package) / f"{name}.sql").read_text()


def has_relation(cursor: Any, name: str) -> bool:
    """Whether there is a table or view of this name, such as `marts.books`."""
    cursor.execute("select to_regclass(%s) is not null", (name,))
    [(is_there,)] = cursor.fetchall()
    return bool(is_there)
