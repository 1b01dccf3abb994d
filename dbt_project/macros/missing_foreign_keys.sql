{# The statements that add the foreign keys that are missing. #}
{% macro missing_foreign_keys_sql() -%}
    with

    foreign_keys as (

        select *
        from json_to_recordset('{{ tojson(foreign_keys()) }}') as declared (
            name text,
            child text,
            child_column text,
            parent text,
            parent_column text
        )

    ),

    missing as (

        select
            format(
                'alter table %s add constraint %I '
                'foreign key (%I) references %s (%I)',
                foreign_keys.child,
                foreign_keys.name,
                foreign_keys.child_column,
                foreign_keys.parent,
                foreign_keys.parent_column
            ) as add_foreign_key
        from foreign_keys
        left join pg_constraint
            on
                foreign_keys.name = pg_constraint.conname
                and to_regclass(foreign_keys.child) = pg_constraint.conrelid
                and to_regclass(foreign_keys.parent) = pg_constraint.confrelid
        where
            pg_constraint.oid is null
            and to_regclass(foreign_keys.child) is not null
            and to_regclass(foreign_keys.parent) is not null
            and not exists (
                select 1 from pg_extension
                where pg_extension.extname = 'citus'
            )
        order by foreign_keys.name

    )

    select * from missing
{%- endmacro %}
