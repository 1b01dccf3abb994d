/*
title: Alert delivery
description: >-
  Whether each channel hears of alerts, and in time: how many messages it was
  to get about what began in the period, one for each address; how many were
  told for certain, how many perhaps more than once, how many not so far, and
  how many were left out on purpose, as those of muted books. Then the seconds
  from the opening of an alert until it was told, the median and what 99 of
  100 stay within, beside how long the shortest of these alerts was open: what
  takes longer than that is told when it is over. Channels that nothing was
  for have a row as well.
display: table
data: market
columns:
  repeated: {title: Told twice, warn: {operator: ">", value: 0}}
  failed: {title: Not told, warn: {operator: ">", value: 0}}
  skipped: {title: Left out}
  median_seconds: {title: Told after, unit: s, decimals: 1}
  p99_seconds: {title: 99 of 100 within, unit: s, decimals: 1}
  shortest_alert_seconds: {title: Shortest alert, unit: s, decimals: 1}
parameters:
  from: from_instant
  to: {like: to_instant, unset: the latest day on which something to tell began}
*/
with

final as (
    select
        channel,
        messages,
        delivered,
        repeated,
        failed,
        skipped,
        median_seconds,
        p99_seconds,
        shortest_alert_seconds
    from marts.delivery_by_channel(cast(:from as text), cast(:to as text))
)

select * from final
order by channel
