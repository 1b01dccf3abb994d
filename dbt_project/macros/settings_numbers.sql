{# Whether a text is a number from 0 on that a threshold can be. #}
{% macro is_percentage(text) -%}
    case
        when pg_input_is_valid({{ text }}, 'numeric(18, 12)')
            then
                cast({{ text }} as numeric) >= 0
                and cast({{ text }} as numeric) <> 'NaN'
        else false
    end
{%- endmacro %}


{# Whether a text is a whole number from 1 on. #}
{% macro is_count(text) -%}
    case
        when pg_input_is_valid({{ text }}, 'integer')
            then cast({{ text }} as integer) >= 1
        else false
    end
{%- endmacro %}
