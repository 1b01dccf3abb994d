with

asked as materialized (

    select
        book_name is null as is_any,
        (
            select book from {{ function('book_named') }}(book_name)
        ) as book

)

select
    states.book,
    states.state = 'blind' as is_unseen,
    case
        when states.bid > states.ask
            then
                'crossed when it was last seen, '
                || {{ minute_in_words('states.observed_at') }}
        when states.state = 'blind'
            then {{ unseen_in_words('states.observed_at', 'never seen') }}
        else
            {{ calm_in_words('lowest.threshold_pct') }}
            || ', seen at ' || {{ minute_in_words('states.observed_at') }}
            || coalesce(
                (
                    select
                        ', ' || latest_window.observed || ' of '
                        || latest_window.expected || ' seconds seen from '
                        || {{ minute_in_words('latest_window.window_start') }}
                    from {{ ref('observation_coverage') }} as latest_window
                    where
                        latest_window.book = states.book
                        and latest_window.window_start
                        > now() - interval '1 hour'
                        -- What is still to come is in none that has ended.
                        and latest_window.window_start
                        <= now() - interval '10 minutes'
                    order by latest_window.window_start desc
                    limit 1
                ),
                ''
            )
    end as said
from {{ function('states_at') }}(null) as states
cross join
    lateral (
        select min(thresholds.threshold_pct) as threshold_pct
        from {{ ref('book_thresholds') }} as thresholds
        where thresholds.book = states.book
    ) as lowest
where
    (select asked.is_any from asked)
    or states.book = (select asked.book from asked)
