-- An hour is an instant, as everywhere in UTC; days are cut in the time zone.
select
    case period_kind
        when 'hour'
            then to_char(
                hour_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'
            )
        when 'day'
            then to_char(hour_start at time zone time_zone, 'YYYY-MM-DD')
        when 'hour_of_day'
            then to_char(hour_start at time zone time_zone, 'HH24')
        when 'whole' then 'whole'
    end as period
