"""Roles that a database knows, to be made again elsewhere: without passwords, as no superuser."""

from typing import Any, NamedTuple

from psycopg2 import sql

from loader.warehouse.errors import TerminalError
from loader.warehouse.postgres.roles import ROLE_PREFIX, ROLES
from loader.warehouse.postgres.statements import statement


class RoleCopy(NamedTuple):
    """A role; each membership is of a role, with its options inherit, set and admin."""

    name: str
    can_login: bool
    inherits: bool
    connection_limit: int
    valid_until: str | None
    settings: list[str]
    memberships: list[tuple[str, str, str, str]]


class DatabaseGrant(NamedTuple):
    """What somebody may do with the database itself; `public` is everybody."""

    grantee: str
    privilege: str
    is_grantable: bool


def kept_roles(cursor: Any) -> list[RoleCopy]:
    """Those that the database of the connection knows, by name."""
    ours = [ROLE_PREFIX + role for role in ROLES]
    cursor.execute(statement(__package__, "kept_roles"), {"ours": ours})
    return [RoleCopy(*row) for row in cursor]


def make_roles(cursor: Any, kept: list[RoleCopy]) -> list[str]:
    """Make those that the server has not; returns their names. What there is stays as it is."""
    cursor.execute("select rolname from pg_roles")
    there = {name for (name,) in cursor}
    new = [role for role in kept if role.name not in there]
    for role in new:
        cursor.execute(
            sql.SQL("create role {} {} {} connection limit {} valid until {}").format(
                sql.Identifier(role.name),
                sql.SQL("login" if role.can_login else "nologin"),
                sql.SQL("inherit" if role.inherits else "noinherit"),
                sql.Literal(role.connection_limit),
                sql.Literal(role.valid_until or "infinity"),
            )
        )
        for setting in role.settings:
            _set(cursor, role.name, *setting.partition("=")[::2])
    for role in new:
        for group, *options in role.memberships:
            _join(cursor, group, role.name, *options)
        # Who is no superuser hands a thing over to a role that he may be, and to no other.
        _join(cursor, role.name, None, "true", "true", "false")
    return [role.name for role in new]


def stand_in(cursor: Any, owner: str) -> str | None:
    """A role for the user who owned the database that is to be made, where we are another one.

    Returns its name. Raises TerminalError where somebody of that name is here already.
    """
    cursor.execute(
        "select current_user, exists (select from pg_roles where rolname = %s)", (owner,)
    )
    [(user, is_there)] = cursor.fetchall()
    if user == owner:
        return None
    if is_there:
        raise TerminalError(
            f"{owner} owned what is to be restored, and is a role here, too: restore as that user, "
            "with WAREHOUSE_USER"
        )
    make_roles(cursor, [RoleCopy(owner, False, True, -1, None, [], [])])
    return owner


def adopt(cursor: Any, owner: str) -> None:
    """Take over what a stand-in owns in this database, and let it go."""
    for statement_of in (
        "reassign owned by {} to current_user", "drop owned by {}", "drop role {}",
    ):  # fmt: skip
        cursor.execute(sql.SQL(statement_of).format(sql.Identifier(owner)))


def _set(cursor: Any, role: str, name: str, value: str) -> None:
    # Taken over from the session: typed, a list such as search_path would become one name.
    cursor.execute("select current_setting(%s)", (name,))
    [(ours,)] = cursor.fetchall()
    cursor.execute("select set_config(%s, %s, true)", (name, value))
    cursor.execute(
        sql.SQL("alter role {} set {} from current").format(
            sql.Identifier(role), sql.Identifier(name)
        )
    )
    cursor.execute("select set_config(%s, %s, true)", (name, ours))


def _join(
    cursor: Any, group: str, member: str | None, inherits: str, may_set: str, is_admin: str
) -> None:
    cursor.execute(
        sql.SQL("grant {} to {} with inherit {}, set {}, admin {}").format(
            sql.Identifier(group),
            sql.Identifier(member) if member else sql.SQL("current_user"),
            *map(sql.SQL, (inherits, may_set, is_admin)),
        )
    )


def database_grants(cursor: Any) -> list[DatabaseGrant]:
    """Who but its owner may do what with the database of the connection."""
    cursor.execute(
        "select case when grantee = 0 then 'public' else pg_get_userbyid(grantee) end, "
        "privilege_type, is_grantable from pg_database "
        "cross join aclexplode(coalesce(datacl, acldefault('d', datdba))) "
        "where datname = current_database() and grantee <> datdba order by 1, 2"
    )
    return [DatabaseGrant(*row) for row in cursor]


def grant_database(cursor: Any, grants: list[DatabaseGrant]) -> None:
    """The same for the database of the connection, where that is the user's own."""
    cursor.execute(
        "select datname, current_user, pg_has_role(datdba, 'USAGE') from pg_database "
        "where datname = current_database()"
    )
    [(database, user, is_own)] = cursor.fetchall()
    if not is_own:
        return
    parts = {"database": sql.Identifier(database)}
    cursor.execute(sql.SQL("revoke all on database {database} from public").format(**parts))
    for grant in grants:
        if grant.grantee == user:
            continue
        cursor.execute(
            sql.SQL("grant {privilege} on database {database} to {grantee}{option}").format(
                privilege=sql.SQL(grant.privilege),
                grantee=sql.SQL("public")
                if grant.grantee == "public"
                else sql.Identifier(grant.grantee),
                option=sql.SQL(" with grant option" if grant.is_grantable else ""),
                **parts,
            )
        )
