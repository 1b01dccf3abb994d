/*
title: Average deposit
description: >-
  The average amount deposited by the users whose latest level in a
  jurisdiction is the one asked, a row for each currency. Deposits without an
  amount are left out, of the count too.
display: table
data: transactions
columns:
  average_amount: {decimals: 2}
parameters:
  level:
    type: integer
    default: 2
    description: The users' latest level in the jurisdiction.
    known: {table: user_level_current, column: level}
  jurisdiction: {like: jurisdiction, default: mx}
  status: {like: status, description: "Average complete deposits only, or any."}
*/
with

deposits_by_level as (
    select * from marts.deposits_by_level
),

averaged as (
    select
        currency,
        deposits,
        -- Rounded half away from zero to 18 decimals, as many as an amount
        -- may have; the inner round makes the division carry that many.
        trim_scale(
            round(round(amount, 18) / deposits, 18)
        ) as average_amount
    from deposits_by_level
    where
        level = :level
        and jurisdiction = marts.code_of(:jurisdiction)
        and status = :status
        and deposits > 0
),

final as (
    select
        currency,
        average_amount,
        deposits
    from averaged
)

select * from final
order by currency
