"""Who may do what in the stand-in: groups, the two graphs, and what people are refused.

Source: Metabase's permissions_rest (api, schema, data_permissions/graph), as read in 2026-11.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from tests.metabase import rules
from tests.metabase.contract import Call, RefusedError

Json = dict[str, Any]

# As it comes: nobody may count on their numbers or names.
ADMINISTRATORS, ANALYSTS, EVERYONE = 2, 3, 5
GROUPS = [
    {"id": ADMINISTRATORS, "name": "Administrators", "magic_group_type": "admin"},
    {"id": EVERYONE, "name": "All internal users", "magic_group_type": "all-internal-users"},
    {"id": ANALYSTS, "name": "Data Analysts", "magic_group_type": "data-analyst"},
]
NATIVE = "query-builder-and-native"
_QUERIES = [NATIVE, "query-builder", "no"]
_COLLECTIONS = ["write", "read", "none"]
# What is least of its kind is not shown: whoever reads the graph has to know.
_LEAST = {"create-queries": "no", "view-data": "blocked", "transforms": "no"}
_STALE = (
    "Looks like someone else edited the permissions and your data is out of date. "
    "Please fetch new data and try again."
)
_DENIED = "You don't have permissions to do that."


def start() -> Json:
    """What a new Metabase holds of it."""
    everyone = {str(group["id"]): {"root": "write"} for group in GROUPS}
    return {
        "groups": copy.deepcopy(GROUPS),
        "graph": {"revision": 1, "groups": {str(group["id"]): {} for group in GROUPS}},
        "collection_graph": {"revision": 1, "groups": everyone},
    }


def add_database(data: Json, number: int) -> None:
    """A new database: each group has the least of what it has on the others, or everything."""
    for rights in data["graph"]["groups"].values():
        others = [str(each["create-queries"]) for each in rights.values()]
        least = max(filter(_QUERIES.__contains__, others), key=_QUERIES.index, default=NATIVE)
        rights[str(number)] = {"view-data": "unrestricted", "create-queries": least}


def add_collection(data: Json, number: int, parent: str) -> None:
    """A new collection: as the one that it is in."""
    for rights in data["collection_graph"]["groups"].values():
        rights[str(number)] = rights.get(parent, "none")


def graph(data: Json) -> Json:
    """The graph as it is shown: without what is least; the administrators' part is made up."""
    groups: Json = {}
    for group, databases in data["graph"]["groups"].items():
        groups[group] = {}
        for number, kept in databases.items():
            full = {"view-data": "unrestricted", "create-queries": NATIVE}
            rights = full if int(group) == ADMINISTRATORS else kept
            groups[group][number] = {
                kind: right for kind, right in rights.items() if right != _LEAST.get(kind)
            } | {"download": {"schemas": "full"}}
    return {"revision": data["graph"]["revision"], "groups": groups}


def change_graph(data: Json, body: Json) -> Json:
    """Change what is sent, and nothing else."""
    kept = data["graph"]
    _check_revision(kept, body)
    changed = copy.deepcopy(kept["groups"])
    for group, databases in body["groups"].items():
        if group not in changed or int(group) == ADMINISTRATORS:
            rules.refuse("groups", f"{group} is no group whose rights can be changed")
        for number, sent in databases.items():
            if number not in data["databases"]:
                rules.refuse("groups", f"there is no database {number}")
            changed[group][number] = _implied(int(group), changed[group][number], sent)
    kept.update(groups=changed, revision=kept["revision"] + 1)
    return {"revision": kept["revision"], "groups": body["groups"]}


def _check_revision(kept: Json, body: Json) -> None:
    if body["revision"] != kept["revision"]:
        raise RefusedError(409, _STALE)


def _implied(group: int, kept: Json, sent: Json) -> Json:
    queries = sent.get("create-queries")
    if sent.get("view-data") == "blocked":
        if queries == NATIVE:
            rules.refuse("groups", "who may view nothing may write no SQL")
        raise RefusedError(402, "Blocking is a paid feature.")
    if group == ANALYSTS and "data-model" in sent:
        rules.refuse("groups", "the data model is what Data Analysts are for")
    made = {**kept, **sent}
    if queries not in (None, "no"):
        made["view-data"] = "unrestricted"
    if queries not in (None, NATIVE):
        made.pop("transforms", None)
    return made


def collection_graph(data: Json) -> Json:
    """The graph of collections: none is not shown."""
    return {
        "revision": data["collection_graph"]["revision"],
        "groups": {
            group: {number: right for number, right in rights.items() if right != "none"}
            for group, rights in data["collection_graph"]["groups"].items()
        },
    }


def change_collection_graph(data: Json, body: Json) -> Json:
    """Change what is sent, and nothing else."""
    kept = data["collection_graph"]
    _check_revision(kept, body)
    for group, rights in body["groups"].items():
        if group not in kept["groups"] or int(group) == ADMINISTRATORS:
            rules.refuse("groups", f"{group} is no group whose rights can be changed")
        for number in rights:
            if number != "root" and number not in data["collections"]:
                rules.refuse("groups", f"there is no collection {number}")
    for group, rights in body["groups"].items():
        kept["groups"][group] |= rights
    kept["revision"] += 1
    return collection_graph(data)


def check(data: Json, groups: Iterable[int], call: Call) -> None:
    """Refuse what people of these groups may not; they are no administrators."""
    names = [str(group) for group in groups]
    if call.route == "/api/user/current":
        return
    if call.route == "/api/dataset":
        allowed = _may_write_sql(data, names, call.body["database"])
    elif call.route.startswith("/api/card") and not call.route.endswith("/query"):
        allowed = _may_save(data, names, call)
    elif call.route.startswith(("/api/card/", "/api/dashboard/")):
        kind = "cards" if call.route.startswith("/api/card/") else "dashboards"
        kept = data[kind].get(call.ids["id"], {})
        # What they may read they may run, whatever SQL they may write themselves.
        reads = call.method == "get" or call.route.endswith("/query")
        allowed = reads and _right(data, names, kept.get("collection_id")) != "none"
    else:
        allowed = False
    if not allowed:
        raise RefusedError(403, _DENIED)


def _may_save(data: Json, groups: list[str], call: Call) -> bool:
    kept = data["cards"].get(call.ids.get("id"), {})
    if call.method == "get":
        return bool(kept) and _right(data, groups, kept["collection_id"]) != "none"
    made: Mapping[str, Any] = {**kept, **(call.body or {})}
    database = made["dataset_query"]["database"]
    holder = made.get("collection_id")
    return _right(data, groups, holder) == "write" and _may_write_sql(data, groups, database)


def _may_write_sql(data: Json, groups: list[str], database: int) -> bool:
    # Rights add up.
    return any(
        data["graph"]["groups"][group].get(str(database), {}).get("create-queries") == NATIVE
        for group in groups
    )


def _right(data: Json, groups: list[str], collection: int | None) -> str:
    number = "root" if collection is None else str(collection)
    graph = data["collection_graph"]["groups"]
    rights = [str(graph[group].get(number, "none")) for group in groups]
    return min(rights, key=_COLLECTIONS.index)
