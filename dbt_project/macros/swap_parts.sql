{#
    What swap_sql is made of: expressions, each an array of ids or of
    statements. Their arguments are variables of its block.
#}

{#
    Ids of the views that read a relation itself and that are ours to change:
    the outermost first, where one of them reads another one, too.
#}
{% macro views_that_read_sql(relation) -%}
    array(
        with recursive readers as (
            select cast({{ relation }} as oid) as reader, 0 as distance
            union
            select rules.ev_class, readers.distance + 1
            from readers
            inner join pg_depend as uses
                on
                    readers.reader = uses.refobjid
                    and uses.refclassid = cast('pg_class' as regclass)
                    and uses.classid = cast('pg_rewrite' as regclass)
            inner join pg_rewrite as rules
                on uses.objid = rules.oid and readers.reader <> rules.ev_class
        )
        select readers.reader
        from readers
        inner join pg_class as views on readers.reader = views.oid
        where views.relkind = 'v' and pg_has_role(views.relowner, 'usage')
        group by readers.reader
        having min(readers.distance) = 1
        order by max(readers.distance) desc, readers.reader
    )
{%- endmacro %}


{# Ids of a relation and of the tables that foreign keys tie to it. #}
{% macro tables_tied_to_sql(relation) -%}
    array(
        select cast({{ relation }} as oid) as tied
        where {{ relation }} is not null
        union
        select unnest(array[foreign_keys.conrelid, foreign_keys.confrelid])
        from pg_constraint as foreign_keys
        where
            foreign_keys.contype = 'f'
            and {{ relation }} in (
                foreign_keys.conrelid, foreign_keys.confrelid
            )
        order by tied
    )
{%- endmacro %}


{#
    Statements that hold relations, and them alone: `lock table` would hold
    what a view reads, too. To give one to its own owner changes nothing.
#}
{% macro holding_sql(relations) -%}
    array(
        select format(
            'alter table %s owner to %I',
            cast(held.oid as regclass), pg_get_userbyid(held.relowner)
        )
        from unnest({{ relations }}) with ordinality as wanted (id, place)
        inner join pg_class as held on wanted.id = held.oid
        order by wanted.place
    )
{%- endmacro %}


{# Statements that make views once more from what they say now, in names. #}
{% macro views_anew_sql(views) -%}
    array(
        select format(
            'create or replace view %s %s as %s',
            cast(views.oid as regclass),
            'with (' || array_to_string(views.reloptions, ', ') || ')',
            pg_get_viewdef(views.oid)
        )
        from unnest({{ views }}) with ordinality as wanted (id, place)
        inner join pg_class as views on wanted.id = views.oid
        order by wanted.place
    )
{%- endmacro %}


{# Statements that take off the foreign keys from and to a table. #}
{% macro foreign_keys_off_sql(relation) -%}
    array(
        select format(
            'alter table %s drop constraint %I',
            cast(foreign_keys.conrelid as regclass), foreign_keys.conname
        )
        from pg_constraint as foreign_keys
        where
            foreign_keys.contype = 'f'
            and {{ relation }} in (
                foreign_keys.conrelid, foreign_keys.confrelid
            )
    )
{%- endmacro %}


{# The processes that have a hold on relations. #}
{% macro holders_sql(relations) -%}
    (
        select coalesce(string_agg(distinct cast(pid as text), ', '), 'gone')
        from pg_locks
        where
            relation = any({{ relations }})
            and database = (
                select oid from pg_database where datname = current_database()
            )
            and granted
            and pid <> pg_backend_pid()
    )
{%- endmacro %}
