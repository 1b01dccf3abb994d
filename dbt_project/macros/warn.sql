{# `loader transform` tells lines that begin so; dbt itself marks none. #}
{% macro warn(message) %}
    {% do exceptions.warn('[WARNING] ' ~ message) %}
{% endmacro %}
