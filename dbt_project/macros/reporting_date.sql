{% macro reporting_date(instant) -%}
    cast({{ instant }} at time zone '{{ var("reporting_timezone") }}' as date)
{%- endmacro %}
