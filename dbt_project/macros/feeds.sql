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


{# Whether a spread is bigger than a limit in percent of the ask, exactly. #}
{% macro is_above(bid, ask, limit_pct) -%}
    ({{ ask }} - {{ bid }}) * 100 > {{ limit_pct }} * {{ ask }}
{%- endmacro %}
