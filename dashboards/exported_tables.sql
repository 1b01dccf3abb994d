-- Names with __dbt_ are what a killed dbt run leaves behind.
select
    cast(cast(relnamespace as regnamespace) as text) as schema_name,
    relname
from pg_class
where
    cast(cast(relnamespace as regnamespace) as text) in ('target', 'marts')
    and relkind in ('r', 'p')
    and not relispartition
    and position('__dbt_' in relname) = 0
order by schema_name, relname
