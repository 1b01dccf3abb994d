{#
    As dbt's own; one that is made anew is swapped in, as any table is. What
    the model remembers of its progress is in the same transaction.
#}
{% materialization incremental, adapter='postgres' %}
    {% set known_relation = load_cached_relation(this) %}
    {% if known_relation.type == 'table' and not should_full_refresh() %}
        {% do return(dbt.materialization_incremental_default()) %}
    {% endif %}
    {% do return(build_beside()) %}
{% endmaterialization %}
