{#
    More expressions of swap_sql: what the new relation takes over from the one
    before, and what becomes of that.
#}

{# Statements that give the new one the grants of the one before, no others. #}
{% macro grants_sql(before, fresh) -%}
    array(
        with

        changed as (

            select
                relations.relowner as owner,
                relations.relacl as acl_before,
                fresh_relations.relacl as acl_fresh
            from pg_class as relations
            inner join pg_class as fresh_relations
                on
                    relations.relacl is distinct from fresh_relations.relacl
                    and fresh_relations.oid = {{ fresh }}
            where relations.oid = {{ before }}

        ),

        rights as (

            select 'revoke' as verb, '' as of_column, acl.*
            from changed
            cross join aclexplode(changed.acl_fresh) as acl
            where changed.owner <> acl.grantee
            union all
            select 'grant' as verb, '' as of_column, acl.*
            from changed
            cross join aclexplode(changed.acl_before) as acl
            where changed.owner <> acl.grantee
            union all
            select
                'grant' as verb,
                format('(%I)', known.attname) as of_column,
                acl.*
            from pg_attribute as known
            inner join pg_attribute as kept
                on known.attname = kept.attname and kept.attrelid = {{ fresh }}
            cross join aclexplode(known.attacl) as acl
            where known.attrelid = {{ before }}

        )

        select format(
            '%s %s %s on table %s %s %s %s',
            rights.verb,
            rights.privilege_type,
            rights.of_column,
            {{ fresh }},
            case rights.verb when 'grant' then 'to' else 'from' end,
            case rights.grantee
                when 0 then 'public'
                else quote_ident(pg_get_userbyid(rights.grantee))
            end,
            case
                when rights.verb = 'grant' and rights.is_grantable
                    then 'with grant option'
            end
        )
        from rights
        order by rights.verb desc
    )
{%- endmacro %}


{# Statements that hand over the name. #}
{% macro renames_sql(before, fresh, target_relation) -%}
    array(
        select format(
            'alter table %s rename to %I',
            {{ before }},
            format('%s__dbt_backup_%s', left(relname, 40), oid)
        )
        from pg_class
        where oid = {{ before }}
    )
    || format(
        'alter table %s rename to %I',
        {{ fresh }}, '{{ target_relation.identifier }}'
    )
{%- endmacro %}


{# The statement that drops a relation, if nothing reads it. #}
{% macro drop_sql(relation) -%}
    (
        select format(
            'drop %s %s',
            case relkind
                when 'v' then 'view'
                when 'm' then 'materialized view'
                else 'table'
            end,
            cast(oid as regclass)
        )
        from pg_class
        where oid = {{ relation }}
    )
{%- endmacro %}
