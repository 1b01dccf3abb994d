-- The roles that a database knows: ours, who owns something in it or may do
-- something with it, and who is a member of these.
with recursive known as (
    select pg_roles.oid
    from pg_roles
    where pg_roles.rolname = any(%(ours)s)
    union
    select uses.refobjid
    from pg_shdepend as uses
    inner join pg_database as here on here.datname = current_database()
    where
        uses.refclassid = cast('pg_authid' as regclass)
        and (
            uses.dbid = here.oid
            or (
                uses.dbid = 0
                and uses.classid = cast('pg_database' as regclass)
                and uses.objid = here.oid
            )
        )
    union
    select members.member
    from pg_auth_members as members
    inner join known on members.roleid = known.oid
),

memberships as (
    select
        members.member,
        array_agg(
            array[
                pg_get_userbyid(members.roleid),
                cast(members.inherit_option as text),
                cast(members.set_option as text),
                cast(members.admin_option as text)
            ]
            order by pg_get_userbyid(members.roleid)
        ) as held
    from pg_auth_members as members
    inner join known on members.roleid = known.oid
    group by members.member
)

select
    known_roles.rolname,
    known_roles.rolcanlogin,
    known_roles.rolinherit,
    known_roles.rolconnlimit,
    cast(known_roles.rolvaliduntil as text) as valid_until,
    coalesce(configured_roles.setconfig, '{}') as configured,
    coalesce(memberships.held, '{}') as memberships
from known
inner join pg_roles as known_roles on known.oid = known_roles.oid
left join memberships on known_roles.oid = memberships.member
left join pg_db_role_setting as configured_roles
    on
        known_roles.oid = configured_roles.setrole
        and configured_roles.setdatabase = 0
where
    known_roles.rolname <> current_user
    and known_roles.rolname !~ '^pg_'
order by known_roles.rolname
