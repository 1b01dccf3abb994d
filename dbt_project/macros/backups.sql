{#
    Drops what swaps have left because a view still read it, once none does,
    and tells of what is left: who reads that sees old rows.
#}
{% macro drop_unread_backups() %}
    {% if execute and flags.WHICH in ('build', 'run', 'seed') %}
        {% do run_query(drop_unread_backups_sql()) %}
        {% for backup in run_query(backups_sql()) if backup['readers'] %}
            {% do warn(
                backup['readers'] ~ ' still reads ' ~ backup['backup']
                ~ ', which is no longer filled: make it anew'
            ) %}
        {% endfor %}
    {% endif %}
{% endmacro %}


{# One may read another, so until there is none left to drop. #}
{% macro drop_unread_backups_sql() %}
    do $backups$
    declare
        backup regclass;
        backups regclass[];
        are_dropped boolean := true;
    begin
        set local lock_timeout = '0.5 s';
        while are_dropped loop
            are_dropped := false;
            backups := array(
                select backups.backup from ({{ backups_sql() }}) as backups
            );
            foreach backup in array backups loop
                begin
                    execute {{ drop_sql('backup') }};
                    are_dropped := true;
                exception when others then
                    -- It is read, in somebody's hands or gone: all is well.
                    null;
                end;
            end loop;
        end loop;
    end $backups$;
    commit;
{% endmacro %}


{# What swaps have left, and the relations that read each of them. #}
{% macro backups_sql() %}
    select
        cast(backups.oid as regclass) as backup,
        string_agg(
            distinct cast(cast(rules.ev_class as regclass) as text), ', '
        ) as readers
    from pg_class as backups
    left join pg_depend as uses
        on
            backups.oid = uses.refobjid
            and uses.refclassid = cast('pg_class' as regclass)
            and uses.classid = cast('pg_rewrite' as regclass)
    left join pg_rewrite as rules
        on uses.objid = rules.oid and backups.oid <> rules.ev_class
    where
        backups.relkind in ('r', 'p', 'v', 'm')
        and backups.relname like '%\_\_dbt\_backup%'
        and backups.relnamespace in (
            select schemas.oid from pg_namespace as schemas
            where schemas.nspname in (
                'reference', 'staging', 'target', 'marts'
            )
        )
    group by backups.oid
{% endmacro %}
