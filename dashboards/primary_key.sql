select pg_attribute.attname
from pg_index
cross join unnest(pg_index.indkey) with ordinality as members (attnum, nth)
inner join pg_attribute
    on
        pg_index.indrelid = pg_attribute.attrelid
        and members.attnum = pg_attribute.attnum
where
    pg_index.indisprimary
    and pg_index.indrelid = cast(%(table_name)s as regclass)
order by members.nth
