-- An instant is longer than a day, and is the first one itself. A day begins at
-- midnight, or right after the instant before it: where clocks were put back
-- midnight comes twice, and Postgres means the second; where a day was left out
-- there is no instant before it, and Postgres means one a day too late.
select
    case
        when length(from_text) > 10
            then cast(from_text as timestamptz)
        else
            least(
                cast(
                    coalesce(
                        cast(from_text as date),
                        cast(
                            {{ function('last_instant') }}(
                                to_text, latest, time_zone
                            ) at time zone time_zone as date
                        ) - days
                    ) as timestamp
                ) at time zone time_zone,
                (
                    cast(
                        coalesce(
                            cast(from_text as date),
                            cast(
                                {{ function('last_instant') }}(
                                    to_text, latest, time_zone
                                ) at time zone time_zone as date
                            ) - days
                        ) as timestamp
                    ) - interval '1 microsecond'
                ) at time zone time_zone + interval '1 microsecond'
            )
    end as first_instant
