-- What a warehouse is known by, whatever it is called: seconds that wait in a
-- spool for one are never played into another.
create table ops.warehouse (
    warehouse_id uuid primary key default gen_random_uuid(),
    made_at timestamptz not null default now(),
    -- there is no second row
    is_only boolean not null default true unique,
    constraint warehouse_only check (is_only)
);
insert into ops.warehouse default values;

comment on table ops.warehouse is
'One row: the id of this warehouse, which goes wherever its data go';
