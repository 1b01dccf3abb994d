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


{# The part of a stretch that is in a window, as a range. #}
{% macro part_in_window(since, until, window_start) -%}
    tstzrange(
        greatest({{ since }}, {{ window_start }}),
        least({{ until }}, {{ window_start }} + interval '10 minutes')
    )
{%- endmacro %}


{# How many seconds a multirange of time is long. #}
{% macro seconds_of(stretches) -%}
    (
        select
            coalesce(
                sum(extract(epoch from upper(part.stretch) - lower(part.stretch))),
                0
            )
        from unnest({{ stretches }}) as part (stretch)
    )
{%- endmacro %}


{# No time at all, where an aggregate over nothing says null. #}
{% macro or_no_time(stretches) -%}
    coalesce({{ stretches }}, cast('{}' as tstzmultirange))
{%- endmacro %}


{# The start of the slot that an instant is in. #}
{% macro slot_of(instant, interval_seconds) -%}
    date_bin(
        {{ interval_seconds }} * interval '1 second',
        {{ instant }},
        timestamptz '1970-01-01 00:00:00+00'
    )
{%- endmacro %}


{#
    The share of the expected time that was observed, 0 to 1, summed over rows
    of observation_coverage; null where there are none.
#}
{% macro coverage_of(windows) -%}
    cast(
        cast(sum({{ windows }}.observed) as numeric)
        / nullif(sum({{ windows }}.expected), 0)
        as numeric(7, 6)
    )
{%- endmacro %}


{# How far a slot that is no part of a window may reach beyond it. #}
{% macro beyond_window(interval_seconds) -%}
    case 600 % {{ interval_seconds }}
        when 0 then 0 else {{ interval_seconds }}
    end * interval '1 second'
{%- endmacro %}
