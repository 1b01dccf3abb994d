select
    named.book,
    zones.reporting_timezone,
    {{ function('first_instant') }}(
        from_text, to_text, known.last_observed_at, zones.reporting_timezone
    ) as first_instant,
    {{ function('last_instant') }}(
        to_text, known.last_observed_at, zones.reporting_timezone
    ) as last_instant
from {{ function('book_named') }}(book_name) as named
cross join {{ ref('reporting_settings') }} as zones
left join {{ ref('observed_books') }} as known
    on named.book = known.book
