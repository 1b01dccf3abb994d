{#
    What reads a new table plans with its real sizes. One that is changed in
    place is left to autovacuum: a sample of it costs more than a small change.
#}
{% macro analyze_new_table() %}
    {% if model.config.materialized != 'view' and not is_incremental() %}
        analyze {{ this }}
    {% endif %}
{% endmacro %}
