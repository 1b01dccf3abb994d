{#
    Which quotes are primary: those of the first feed that saw the book in their
    second, and of two at one instant the one with the widest spread, so that
    an instant is one observation. Recorders that keep whole seconds have seen
    some twice. CTE `ranked`, from a CTE of different quotes, all of a second.
#}
{% macro quotes_ranked(quotes) %}
    quotes_with_spread as (

        select
            {{ quotes }}.*,
            {{ spread_of(quotes ~ '.bid', quotes ~ '.ask') }} as spread
        from {{ quotes }}

    ),

    ranked as (

        select
            quotes_with_spread.*,
            rank() over (
                partition by
                    quotes_with_spread.book,
                    {{ start_of('second', 'quotes_with_spread.quoted_at') }}
                order by {{ feed_rank('quotes_with_spread.feed') }}
            ) = 1
            and row_number() over (
                partition by
                    quotes_with_spread.book,
                    quotes_with_spread.quoted_at,
                    quotes_with_spread.feed
                order by
                    quotes_with_spread.spread desc,
                    quotes_with_spread.bid asc,
                    quotes_with_spread.ask asc
            ) = 1 as is_primary
        from quotes_with_spread

    )
{% endmacro %}
