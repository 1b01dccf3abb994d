/*
title: User levels
description: >-
  The latest level of each user within each jurisdiction.
display: table
data: levels
parameters:
  jurisdiction: {like: jurisdiction, unset: all jurisdictions}
  user_id: {like: user, unset: all users}
*/
with

user_level_current as (
    select * from marts.user_level_current
),

final as (
    select
        user_id,
        jurisdiction,
        level,
        since
    from user_level_current
    where
        (
            cast(:jurisdiction as text) is null
            or jurisdiction = marts.code_of(:jurisdiction)
        )
        and (cast(:user_id as text) is null or user_id = :user_id)
)

select * from final
order by user_id, jurisdiction
