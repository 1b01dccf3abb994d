{#
    The primary quotes of the hours that spread_hourly has to count anew: all
    hours at first, then those in which a quote has changed, or what was to be
    seen, and all of a book that is new to it. CTE `primary_quotes`, from a CTE
    `quotes`; each with its hour.
#}
{% macro quotes_to_count() %}
    {% if is_incremental() %}

        {{ feeds_watching() }},

        {{ windows_touched('spread_hourly', hourly_settings()) }},

        touched_hours as (

            select distinct
                quotes.book,
                {{ start_of('hour', 'quotes.quoted_at') }} as hour
            from quotes
            where
                quotes.changed_in
                > {{ taken_in('spread_hourly', hourly_settings()) }}
            union distinct
            select
                touched_windows.book,
                {{ start_of('hour', 'touched_windows.window_start') }} as hour
            from touched_windows
            union distinct
            select
                quotes.book,
                {{ start_of('hour', 'quotes.quoted_at') }} as hour
            from quotes
            where quotes.book = any({{ uncounted_books() }})

        ),

        {{ quotes_of_touched_hours() }}

    {% else %}

        {{ quotes_of_all_hours() }}

    {% endif %}
{% endmacro %}


{# What spread_hourly depends on beside quotes; whence it has its coverage. #}
{% macro hourly_settings() -%}
    (select md5({{ spread_settings() }} || 'coverage of windows'))
{%- endmacro %}

{# CTE `primary_quotes` of the hours in a CTE `touched_hours`, by index. #}
{% macro quotes_of_touched_hours() %}
    primary_quotes as (

        select quotes_of_hour.*
        from touched_hours
        cross join
            lateral (
                select
                    quotes.*,
                    touched_hours.hour
                from quotes
                where
                    quotes.book = touched_hours.book
                    and quotes.quoted_at >= touched_hours.hour
                    and quotes.quoted_at
                    < touched_hours.hour + interval '1 hour'
                    and quotes.is_primary
                order by quotes.quoted_at
                offset 0
            ) as quotes_of_hour

    )
{% endmacro %}


{# CTE `primary_quotes` of all there are. #}
{% macro quotes_of_all_hours() %}
    primary_quotes as (

        select
            quotes.*,
            {{ start_of('hour', 'quotes.quoted_at') }} as hour
        from quotes
        where quotes.is_primary

    )
{% endmacro %}
