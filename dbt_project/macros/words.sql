{# A minute in words, in UTC, wherever the session is. #}
{% macro minute_in_words(instant) -%}
    to_char({{ instant }} at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
{%- endmacro %}


{# Nothing is above a threshold, in words; of a book that nobody watches, so. #}
{% macro calm_in_words(threshold_pct) -%}
    coalesce(
        'nothing above '
        || cast(trim_scale({{ threshold_pct }}) as text) || ' %',
        'no threshold is watched'
    )
{%- endmacro %}


{# How many of the seconds of a row were seen, in words. #}
{% macro seconds_in_words(row) -%}
    coalesce(
        ', ' || {{ row }}.observed || ' of ' || {{ row }}.expected
        || ' seconds seen',
        case
            when not {{ row }}.is_unseen
                then ', how much of the time was seen is not known'
            else ''
        end
    )
{%- endmacro %}


{# Until when it was seen, in words; `never` is said where it was not. #}
{% macro unseen_in_words(last_seen_at, never) -%}
    coalesce(
        'not seen since ' || {{ minute_in_words(last_seen_at) }},
        '{{ never }}'
    )
{%- endmacro %}
