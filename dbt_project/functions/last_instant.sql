-- An instant is longer than a day, and is the last one itself. A day ends where
-- the next one begins (first_instant).
select
    case
        when length(to_text) > 10
            then cast(to_text as timestamptz)
        else
            least(
                cast(
                    coalesce(
                        cast(to_text as date),
                        cast(latest at time zone time_zone as date)
                    ) + 1 as timestamp
                ) at time zone time_zone,
                (
                    cast(
                        coalesce(
                            cast(to_text as date),
                            cast(latest at time zone time_zone as date)
                        ) + 1 as timestamp
                    ) - interval '1 microsecond'
                ) at time zone time_zone + interval '1 microsecond'
            ) - interval '1 microsecond'
    end as last_instant
