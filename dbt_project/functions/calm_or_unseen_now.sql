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
    states.is_blind as is_unseen,
    case
        when states.is_blind
            then coalesce(
                'not seen since '
                || {{ minute_in_words('states.last_seen_at') }},
                'never seen'
            )
        else
            coalesce(
                'nothing above '
                || cast(
                    (
                        select trim_scale(min(thresholds.threshold_pct))
                        from {{ ref('book_thresholds') }} as thresholds
                        where thresholds.book = states.book
                    ) as text
                ) || ' %',
                'no threshold is watched'
            )
            || ', seen at ' || {{ minute_in_words('states.last_seen_at') }}
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
                    order by latest_window.window_start desc
                    limit 1
                ),
                ''
            )
    end as said
from {{ ref('book_states') }} as states
where
    (select asked.is_any from asked)
    or states.book = (select asked.book from asked)
