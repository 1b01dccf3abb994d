-- A day that has come again since has its partition.
with

asked as (
    select
        daterange(
            cast(
                cast(%(since)s as timestamptz) at time zone 'UTC' as date
            ),
            cast(
                (cast(%(until)s as timestamptz) - interval '1 microsecond')
                at time zone 'UTC' as date
            ),
            '[]'
        ) as dates
),

dropped as (
    select
        known.table_name,
        unnest(known.dates * datemultirange(asked.dates)) as dates
    from ops.dropped_days as known
    cross join asked
),

partitions as (
    select distinct
        raw.partition_of(
            dropped.table_name, lower(dropped.dates) + passed.days
        ) as partition_name
    from dropped
    cross join
        lateral generate_series(
            0, upper(dropped.dates) - lower(dropped.dates) - 1
        ) as passed (days)
)

select partition_name from partitions
where to_regclass('raw.' || quote_ident(partition_name)) is null
order by partition_name
