{# The start of the ten-minute window that an instant is in. #}
{% macro window_of(instant) -%}
    date_bin(
        '10 minutes', {{ instant }}, timestamptz '1970-01-01 00:00:00+00'
    )
{%- endmacro %}


{# The starts of all windows that a stretch of whole seconds reaches into. #}
{% macro windows_of(since, until) -%}
    generate_series(
        {{ window_of(since) }},
        {{ until }} - interval '1 second',
        interval '10 minutes'
    )
{%- endmacro %}


{# How many seconds of a stretch are in `windows.window_start`. #}
{% macro seconds_in_window(since, until) -%}
    extract(
        epoch from
        least({{ until }}, windows.window_start + interval '10 minutes')
        - greatest({{ since }}, windows.window_start)
    )
{%- endmacro %}
