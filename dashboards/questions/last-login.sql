/*
title: Last login
description: >-
  When a user last logged in; without a user, everybody who ever did.
display: table
data: logins
parameters:
  user_id: {like: user, unset: all who ever logged in}
*/
with

user_logins as (
    select * from marts.user_logins
),

final as (
    select
        user_id,
        max(logged_in_at) as last_login_at
    from user_logins
    where cast(:user_id as text) is null or user_id = :user_id
    group by user_id
)

select * from final
order by user_id
