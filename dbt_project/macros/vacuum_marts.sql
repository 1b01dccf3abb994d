{#
    Vacuums the marts of a run when all of them are built: answers come from an
    index alone only where pages are known to be visible to everybody, and while
    another thread still builds, nothing new is.
#}
{% macro vacuum_marts(results) %}
    {% set marts = [] %}
    {% for result in results if (
        result.node.resource_type == 'model'
        and result.node.schema == 'marts'
        and result.node.config.materialized == 'table'
        and result.status == 'success'
    ) %}
        {% do marts.append(result.node.relation_name) %}
    {% endfor %}
    {% if marts %}
        {# Ends the transaction that the connection has begun by itself. #}
        {% do run_query('commit') %}
        vacuum {{ marts | join(', ') }}
    {% endif %}
{% endmacro %}
