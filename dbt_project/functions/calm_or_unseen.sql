with

asked as materialized (

    select
        threshold,
        from_text,
        to_text,
        days,
        book_name is null as is_any,
        (
            select book from {{ function('book_named') }}(book_name)
        ) as book

),

ends as (

    select
        (select max(opened_at) from {{ ref('spread_alerts') }}) as of_alerts,
        (
            select max(last_observed_at) from {{ ref('observed_books') }}
        ) as of_data

),

-- As a value: it is named more than once. A period that begins at a given time
-- goes on to the newest data: since the latest alert all may have been calm.
latest as materialized (

    select
        case
            when asked.from_text is null
                then coalesce(ends.of_alerts, ends.of_data)
            else greatest(ends.of_alerts, ends.of_data)
        end as seen_at
    from asked
    cross join ends

),

period as materialized (

    select period.*
    from asked
    cross join latest
    cross join
        lateral {{ function('period_up_to') }}(
            asked.from_text, asked.to_text, latest.seen_at, asked.days
        ) as period

),

covered as (

    select
        windows.book,
        sum(windows.observed) as observed,
        sum(windows.expected) as expected
    from {{ ref('observation_coverage') }} as windows
    where
        windows.window_start
        > (select period.first_instant from period) - interval '10 minutes'
        and windows.window_start
        <= (select period.last_instant from period)
        -- What is still to come is in none that has ended.
        and windows.window_start <= now() - interval '10 minutes'
    group by windows.book

),

-- By index: of each book the last observation of the period.
books as (

    select
        known.book,
        known.last_observed_at,
        covered.observed,
        covered.expected,
        (
            select max(seen.orderbook_timestamp)
            from {{ ref('spread_observations') }} as seen
            where
                seen.book = known.book
                and seen.orderbook_timestamp
                <= (select period.last_instant from period)
        ) as last_seen_at,
        coalesce(
            (select asked.threshold from asked),
            (
                select min(thresholds.threshold_pct)
                from {{ ref('book_thresholds') }} as thresholds
                where thresholds.book = known.book
            )
        ) as threshold_pct
    from {{ ref('observed_books') }} as known
    left join covered
        on known.book = covered.book
    where
        (known.last_observed_at is not null or covered.expected > 0)
        and (
            (select asked.is_any from asked)
            or known.book = (select asked.book from asked)
        )

),

judged as (

    select
        books.*,
        coalesce(
            books.last_seen_at
            < (select period.first_instant from period),
            true
        ) as is_unseen
    from books

)

select
    judged.book,
    judged.is_unseen,
    case
        when judged.is_unseen
            then {{ unseen_in_words('last_seen_at', 'not seen by then') }}
        else {{ calm_in_words('judged.threshold_pct') }}
    end
    || {{ seconds_in_words('judged') }} as said
from judged
