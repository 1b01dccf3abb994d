{#
    What is new among the quotes that were received, and what is known already
    of the seconds that it is in: there another feed may be the primary one
    now. CTEs `new_quotes` and `known_quotes`, from a CTE `different_quotes`.
#}
{% macro quotes_of_seconds() %}
    {% if is_incremental() %}

        new_quotes as (

            select
                different_quotes.*,
                cast(null as boolean) as was_primary
            from different_quotes
            where
                not exists (
                    select 1
                    from {{ this }} as known
                    where
                        known.book = different_quotes.book
                        and known.quoted_at = different_quotes.quoted_at
                        and known.feed = different_quotes.feed
                        and known.bid = different_quotes.bid
                        and known.ask = different_quotes.ask
                )

        ),

        touched_seconds as (

            select distinct
                new_quotes.book,
                {{ start_of('second', 'new_quotes.quoted_at') }} as second_start
            from new_quotes

        ),

        -- One probe of the key for each second, however much history there is.
        known_quotes as (

            select known_in_second.*
            from touched_seconds
            cross join
                lateral (
                    select
                        known.book,
                        known.quoted_at,
                        known.feed,
                        known.bid,
                        known.ask,
                        known.is_primary as was_primary
                    from {{ this }} as known
                    where
                        known.book = touched_seconds.book
                        and known.quoted_at >= touched_seconds.second_start
                        and known.quoted_at
                        < touched_seconds.second_start + interval '1 second'
                    order by known.quoted_at
                    offset 0
                ) as known_in_second

        )

    {% else %}

        new_quotes as (

            select
                different_quotes.*,
                cast(null as boolean) as was_primary
            from different_quotes

        ),

        known_quotes as (

            select * from new_quotes
            where false

        )

    {% endif %}
{% endmacro %}
