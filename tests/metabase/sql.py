"""Native queries as Metabase runs them: tags filled in, optional parts left out, on Postgres.

Source: Metabase's documentation of SQL parameters, v0.63. Field filters are not known here.
"""

import itertools
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from tests.metabase.contract import RefusedError

ROW_LIMIT = 2000
_TOKEN = re.compile(r"(\[\[|\]\]|\{\{\s*[^{}]*?\s*\}\})")
_SAMPLES: dict[str, object] = {"text": "1", "number": 1, "date": "2026-01-05", "boolean": True}
_TYPES = {
    16: "type/Boolean", 20: "type/BigInteger", 21: "type/Integer", 23: "type/Integer",
    25: "type/Text", 1043: "type/Text", 1082: "type/Date", 1114: "type/DateTime",
    1184: "type/DateTimeWithLocalTZ", 1700: "type/Decimal", 701: "type/Float",
}  # fmt: skip
TEMPORAL = ("type/Date", "type/DateTime", "type/DateTimeWithLocalTZ")


class QueryFailedError(Exception):
    """What Metabase would say in a 202 with status `failed`."""


def stage_of(query: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The SQL and the tags of a dataset_query, in either form."""
    stage = (query.get("stages") or [{}])[0]
    legacy = query.get("native") or {}
    tags = stage.get("template-tags") or legacy.get("template-tags") or {}
    if isinstance(tags, list):
        tags = {tag["name"]: tag for tag in tags}
    return stage.get("native") or legacy.get("query") or "", tags


def tags_in(sql: str) -> set[str]:
    """The names in {{ }}."""
    return {token[2:-2].strip() for token in _TOKEN.findall(sql) if token.startswith("{{")}


def optional_tags(sql: str) -> list[str]:
    """The tags that stand in [[ ]]."""
    names = []
    is_optional = False
    for token in _TOKEN.findall(sql):
        if token in ("[[", "]]"):
            if is_optional == (token == "[["):
                raise RefusedError(400, {"dataset_query": "[[ and ]] do not match"})
            is_optional = token == "[["
        elif is_optional and token[2:-2].strip() not in names:
            names.append(token[2:-2].strip())
    if is_optional:
        raise RefusedError(400, {"dataset_query": "[[ and ]] do not match"})
    return names


def combinations(sql: str, tags: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    """Values for every choice of the optional parts: none, each, all of them."""
    names = optional_tags(sql)
    for count in range(len(names) + 1):
        for chosen in itertools.combinations(names, count):
            yield {name: _SAMPLES[tags[name]["type"]] for name in chosen}


def fill_in(
    sql: str, tags: Mapping[str, Any], values: Mapping[str, object]
) -> tuple[str, list[object]]:
    """The statement in psycopg2's form, and what to bind."""
    bound: list[object] = []
    parts: list[str] = []
    kept_bound, kept_parts, is_optional, is_left_out = 0, 0, False, False
    for piece in _TOKEN.split(sql):
        if piece == "[[":
            kept_bound, kept_parts, is_optional, is_left_out = len(bound), len(parts), True, False
        elif piece == "]]":
            if is_left_out:
                del bound[kept_bound:], parts[kept_parts:]
            is_optional = False
        elif piece.startswith("{{"):
            tag = tags[piece[2:-2].strip()]
            value = values.get(tag["name"])
            if value is None:
                # A browser sends null for a widget that was emptied: as if it sent nothing.
                value = tag.get("default")
            if value is None and is_optional and not tag.get("required"):
                is_left_out = True
            elif value is None:
                name = tag["display-name"]
                raise QueryFailedError(
                    f"You'll need to pick a value for '{name}' before this query can run."
                )
            parts.append("cast(%s as date)" if tag["type"] == "date" else "%s")
            bound.append(value)
        else:
            parts.append(piece.replace("%", "%%"))
    return "".join(parts), bound


class Warehouses:
    """Connections by their details, as the login that Metabase was given."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[str, Connection] = {}

    def connect(self, details: Mapping[str, Any]) -> Connection:
        """A connection in a read-only session; raises QueryFailedError when there is none."""
        key = repr(sorted(details.items()))
        if key not in self._open or self._open[key].closed:
            try:
                connection = psycopg2.connect(
                    host=details["host"], port=details.get("port") or 5432, user=details["user"],
                    password=details.get("password"), dbname=details["dbname"], connect_timeout=10,
                    sslmode=details.get("ssl-mode", "require") if details.get("ssl") else "disable",
                    options="-c default_transaction_read_only=on -c statement_timeout=60000",
                )  # fmt: skip
            except psycopg2.Error as error:
                raise QueryFailedError(str(error).strip()) from None
            connection.autocommit = True
            self._open[key] = connection
        return self._open[key]

    def log_in_anew(self, details: Mapping[str, Any]) -> None:
        """Log in as for the first time: a connection from before knows of no new password."""
        anew = Warehouses()
        try:
            anew.connect(details)
        finally:
            anew.close()

    def close(self) -> None:
        """Close them all."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def rows(
        self, details: Mapping[str, Any], statement: str, bound: list[object]
    ) -> tuple[list[dict[str, str]], list[list[object]]]:
        """Columns and rows of one select, at most ROW_LIMIT."""
        with self._lock:
            connection = self.connect(details)
            with connection.cursor() as cursor:
                try:
                    # In a subquery: it can be one statement only, and only one that reads.
                    cursor.execute(
                        f"select * from (\n{statement}\n) as card limit {ROW_LIMIT}", bound
                    )
                except psycopg2.Error as error:
                    if cursor.connection.closed:
                        self.close()
                    raise QueryFailedError(f"ERROR: {str(error).strip()}") from None
                columns = [
                    {
                        "name": column.name,
                        "display_name": column.name,
                        "base_type": _TYPES.get(column.type_code, "type/*"),
                    }
                    for column in cursor.description or ()
                ]
                return columns, [[_plain(value) for value in row] for row in cursor.fetchall()]

    def metadata(self, details: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The tables that the login may read in the schemas of its filter, with comments."""
        is_filtered = details.get("schema-filters-type") == "inclusion"
        filters = details["schema-filters-patterns"] if is_filtered else "*"
        patterns = [pattern.strip().replace("*", "%") for pattern in filters.split(",")]
        with self._lock, self.connect(details).cursor() as cursor:
            cursor.execute(
                "select c.oid::int, n.nspname, c.relname, obj_description(c.oid, 'pg_class'), "
                "a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum) "
                "from pg_class as c join pg_namespace as n on n.oid = c.relnamespace "
                "join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 "
                "and not a.attisdropped "
                "where c.relkind in ('r', 'p', 'v', 'm') and n.nspname like any(%s) "
                "and has_table_privilege(c.oid, 'select') order by 1, a.attnum",
                (patterns,),
            )
            tables: dict[int, dict[str, Any]] = {}
            for oid, schema, name, comment, column, kind, told in cursor:
                table = tables.setdefault(
                    oid,
                    {
                        "id": oid,
                        "schema": schema,
                        "name": name,
                        "description": comment,
                        "fields": [],
                    },
                )
                table["fields"].append(
                    {
                        "id": oid * 1000 + len(table["fields"]),
                        "name": column,
                        "database_type": kind,
                        "description": told,
                    }
                )
            return list(tables.values())


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
