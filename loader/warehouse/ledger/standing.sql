-- A table that is made anew has another oid, a view may be replaced in place;
-- a build that was killed leaves foreign keys out.
with

relations as (
    select
        pg_class.oid,
        pg_class.relkind
    from pg_class
    inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
    where
        pg_namespace.nspname in ('reference', 'staging', 'target', 'marts')
        and pg_class.relkind in ('r', 'p', 'v')
),

parts as (
    select
        concat_ws(
            ' ',
            oid,
            case relkind when 'v' then pg_get_viewdef(oid) end
        ) as part
    from relations
    union all
    select concat_ws(' ', conrelid, conname) as part
    from pg_constraint
    where conrelid in (select relations.oid from relations)
)

select md5(string_agg(part, ';' order by part collate "C")) as standing
from parts
