-- Names with __dbt_ are what a swap leaves for a while.
select relname
from pg_class
where
    relnamespace = cast('marts' as regnamespace)
    and relkind in ('r', 'p', 'v')
    and position('__dbt_' in relname) = 0
    and has_table_privilege(oid, 'select')
order by relname
