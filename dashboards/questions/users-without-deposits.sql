/*
title: Users without deposits
description: >-
  The users of the users snapshot that never made a deposit.
display: table
data: transactions
parameters:
  status:
    like: status
    description: "Look for complete deposits only, or any."
*/
with

user_deposit_history as (
    select * from marts.user_deposit_history
),

final as (
    select user_id
    from user_deposit_history
    where
        status = :status
        and in_snapshot
        and deposits = 0
)

select * from final
order by user_id
