{#
    Where several feeds saw a book in the same second, the first of these is
    its primary one.
#}
{% macro feed_rank(feed) -%}
    array_position(
        array['stream', 'order_book', 'ticker', 'lake'], {{ feed }}
    )
{%- endmacro %}


{# The second, or the hour, that an instant is in, wherever the session is. #}
{% macro start_of(unit, instant) -%}
    date_trunc('{{ unit }}', {{ instant }}, 'UTC')
{%- endmacro %}


{# The spread in percent of the ask, with 12 decimals. #}
{% macro spread_of(bid, ask) -%}
    cast(
        round(({{ ask }} - {{ bid }}) * 100 / {{ ask }}, 12) as numeric(56, 12)
    )
{%- endmacro %}


{# The latest quote of each book, from CTEs `books` and `quotes`. #}
{% macro latest_quotes() -%}
    books
    cross join
        lateral (
            select max(quotes.quoted_at) as quoted_at
            from quotes
            where quotes.book = books.book
        ) as latest_quotes
{%- endmacro %}
