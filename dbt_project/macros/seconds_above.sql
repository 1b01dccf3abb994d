{#
    For how many seconds spreads were above one of the thresholds of their book;
    null where it has not so many. Parts: a CTE of bid, ask, seconds and pcts, an
    array of the thresholds, grouped by the latter at least.
#}
{% macro seconds_above(parts, place) -%}
    case
        when {{ parts }}.pcts[{{ place }}] is not null
            then coalesce(
                sum({{ parts }}.seconds) filter (
                    where
                    {{ function('is_above') }}(
                        {{ parts }}.bid,
                        {{ parts }}.ask,
                        {{ parts }}.pcts[{{ place }}]
                    )
                ),
                0
            )
    end
{%- endmacro %}
