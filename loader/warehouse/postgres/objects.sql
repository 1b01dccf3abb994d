-- Everything in a database that is not Postgres's own: whose it is, who may do
-- what with it, and a digest of how it is made. What belongs to the user who
-- asks has no owner here, and that user no name: elsewhere it is another one.
with schemas as (
    select
        pg_namespace.oid,
        pg_namespace.nspowner,
        pg_namespace.nspacl,
        quote_ident(pg_namespace.nspname) as schema_name
    from pg_namespace
    where
        pg_namespace.nspname !~ '^pg_'
        and pg_namespace.nspname <> 'information_schema'
),

relations as (
    select
        pg_class.oid,
        pg_class.relowner,
        pg_class.relkind,
        pg_class.relacl,
        pg_class.relpersistence,
        pg_class.reloptions,
        pg_class.relpartbound,
        schemas.schema_name || '.' || quote_ident(pg_class.relname) as full_name
    from pg_class
    inner join schemas on pg_class.relnamespace = schemas.oid
    where pg_class.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
),

made_columns as (
    select
        parts.attrelid,
        string_agg(
            concat_ws(
                ' ',
                quote_ident(parts.attname),
                format_type(parts.atttypid, parts.atttypmod),
                parts.attnotnull,
                parts.attidentity,
                parts.attgenerated,
                pg_get_expr(preset.adbin, preset.adrelid),
                parts.attoptions,
                col_description(parts.attrelid, parts.attnum)
            ),
            e'\n' order by parts.attnum
        ) as made
    from pg_attribute as parts
    left join pg_attrdef as preset
        on
            parts.attrelid = preset.adrelid
            and parts.attnum = preset.adnum
    where parts.attnum > 0 and not parts.attisdropped
    group by parts.attrelid
),

made_constraints as (
    select
        pg_constraint.conrelid,
        string_agg(
            pg_constraint.conname
            || ' '
            || pg_get_constraintdef(pg_constraint.oid),
            e'\n' order by pg_constraint.conname
        ) as made
    from pg_constraint
    -- what is not null is told with the columns
    where pg_constraint.contype <> 'n'
    group by pg_constraint.conrelid
),

made_indexes as (
    select
        pg_index.indrelid,
        string_agg(
            pg_get_indexdef(pg_index.indexrelid), e'\n'
            order by pg_get_indexdef(pg_index.indexrelid)
        ) as made
    from pg_index
    group by pg_index.indrelid
),

made_triggers as (
    select
        pg_trigger.tgrelid,
        string_agg(
            pg_get_triggerdef(pg_trigger.oid), e'\n' order by pg_trigger.tgname
        ) as made
    from pg_trigger
    where not pg_trigger.tgisinternal
    group by pg_trigger.tgrelid
),

made_objects as (
    select
        'schema ' || schemas.schema_name as full_name,
        schemas.nspowner as owned_by,
        coalesce(schemas.nspacl, acldefault('n', schemas.nspowner)) as acl,
        obj_description(schemas.oid, 'pg_namespace') as made
    from schemas
    union all
    select
        case relations.relkind
            when 'r' then 'table '
            when 'p' then 'partitioned table '
            when 'v' then 'view '
            when 'm' then 'materialized view '
            when 'f' then 'foreign table '
            when 'S' then 'sequence '
        end || relations.full_name as full_name,
        relations.relowner as owned_by,
        coalesce(
            relations.relacl,
            case relations.relkind
                when 'S' then acldefault('s', relations.relowner)
                else acldefault('r', relations.relowner)
            end
        ) as acl,
        concat_ws(
            e'\n',
            relations.relpersistence,
            relations.reloptions,
            pg_get_expr(relations.relpartbound, relations.oid),
            case
                when relations.relkind = 'p'
                    then pg_get_partkeydef(relations.oid)
                when relations.relkind in ('v', 'm')
                    then pg_get_viewdef(relations.oid)
            end,
            cast(cast(pg_inherits.inhparent as regclass) as text),
            made_columns.made,
            made_constraints.made,
            made_indexes.made,
            made_triggers.made,
            obj_description(relations.oid, 'pg_class')
        ) as made
    from relations
    left join pg_inherits on relations.oid = pg_inherits.inhrelid
    left join made_columns on relations.oid = made_columns.attrelid
    left join made_constraints on relations.oid = made_constraints.conrelid
    left join made_indexes on relations.oid = made_indexes.indrelid
    left join made_triggers on relations.oid = made_triggers.tgrelid
    union all
    select
        'column '
        || relations.full_name
        || '.'
        || quote_ident(pg_attribute.attname) as full_name,
        relations.relowner as owned_by,
        pg_attribute.attacl as acl,
        null as made
    from relations
    inner join pg_attribute on relations.oid = pg_attribute.attrelid
    where pg_attribute.attacl is not null and not pg_attribute.attisdropped
    union all
    select
        'function '
        || cast(cast(pg_proc.oid as regprocedure) as text) as full_name,
        pg_proc.proowner as owned_by,
        coalesce(pg_proc.proacl, acldefault('f', pg_proc.proowner)) as acl,
        concat_ws(
            e'\n',
            case
                when pg_proc.prokind <> 'a' then pg_get_functiondef(pg_proc.oid)
            end,
            obj_description(pg_proc.oid, 'pg_proc')
        ) as made
    from pg_proc
    inner join schemas on pg_proc.pronamespace = schemas.oid
    union all
    select
        concat_ws(
            ' ',
            'privileges to come of',
            pg_get_userbyid(pg_default_acl.defaclrole),
            schemas.schema_name,
            pg_default_acl.defaclobjtype
        ) as full_name,
        pg_default_acl.defaclrole as owned_by,
        pg_default_acl.defaclacl as acl,
        null as made
    from pg_default_acl
    left join schemas on pg_default_acl.defaclnamespace = schemas.oid
),

given as (
    select
        made_objects.full_name,
        array_agg(
            concat_ws(
                ' ',
                case
                    when acl.grantee = 0 then 'public'
                    when pg_get_userbyid(acl.grantee) = current_user
                        then 'owner'
                    else pg_get_userbyid(acl.grantee)
                end,
                acl.privilege_type,
                case when acl.is_grantable then 'grantable' end
            )
        ) as all_granted
    from made_objects
    cross join aclexplode(made_objects.acl) as acl
    group by made_objects.full_name
)

select
    made_objects.full_name,
    nullif(pg_get_userbyid(made_objects.owned_by), current_user) as owner_name,
    coalesce(given.all_granted, '{}') as all_granted,
    md5(coalesce(made_objects.made, '')) as made
from made_objects
left join given on made_objects.full_name = given.full_name
