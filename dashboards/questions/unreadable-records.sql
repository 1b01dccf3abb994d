/*
title: Unreadable records
description: >-
  What stands in raw and is in no other answer, because a part of it cannot be
  read: how many records of each source, and which part. One row that says so
  where all of them can be read.
display: table
data: runs
columns:
  records: {warn: {operator: ">", value: 0}}
*/
with

unreadable_records as (
    select * from marts.unreadable_records
),

final as (
    select
        source,
        reason,
        records
    from unreadable_records
    union all
    select
        'all' as source,
        'every record can be read' as reason,
        0 as records
    where not exists (select 1 from unreadable_records)
)

select * from final
order by source, reason
