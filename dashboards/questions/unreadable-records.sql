/*
title: Unreadable records
description: >-
  What stands in raw and is in no other answer, because a part of it cannot be
  read: how many records of each source, and which part. It should be empty.
display: table
columns:
  records: {warn: {operator: ">", value: 0}}
*/
select
    source,
    reason,
    records
from marts.unreadable_records
order by source, reason
