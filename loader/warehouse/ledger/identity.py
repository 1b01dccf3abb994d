"""Which warehouse this is."""

from typing import Any


def warehouse_id(cursor: Any) -> str:
    """The id that the migrations or a restore gave it: a copy has it too."""
    cursor.execute("select cast(warehouse_id as text) from ops.warehouse")
    [(found,)] = cursor.fetchall()
    return str(found)


def give_id(cursor: Any, new: str) -> None:
    """Make this another warehouse than the one that it is a copy of."""
    cursor.execute("update ops.warehouse set warehouse_id = %s", (new,))
