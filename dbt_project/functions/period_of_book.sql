with

asked as (

    select
        book_name,
        from_text,
        to_text

)

select
    named.book,
    period.reporting_timezone,
    period.first_instant,
    period.last_instant
from asked
cross join lateral {{ function('book_named') }}(asked.book_name) as named
left join {{ ref('observed_books') }} as known
    on named.book = known.book
cross join
    lateral {{ function('period_up_to') }}(
        asked.from_text, asked.to_text, known.last_observed_at
    ) as period
