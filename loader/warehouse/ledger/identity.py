"""Which warehouse this is."""

from typing import Any


def warehouse_id(cursor: Any) -> str:
    """The id that the migrations gave it: a copy has it too, one made anew has another."""
    cursor.execute("select cast(warehouse_id as text) from ops.warehouse")
    [(found,)] = cursor.fetchall()
    return str(found)
