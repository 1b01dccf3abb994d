-- An instant is longer than a day, and is the first one itself.
select
    case
        when length(from_text) > 10
            then cast(from_text as timestamptz)
        else
            cast(
                coalesce(
                    cast(from_text as date),
                    cast(
                        {{ function('last_instant') }}(
                            to_text, latest, time_zone
                        ) at time zone time_zone as date
                    ) - days
                ) as timestamp
            ) at time zone time_zone
    end as first_instant
