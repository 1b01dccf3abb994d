{% macro last_snapshot_loaded_at(kind=none) -%}
    select max(runs.finished_at)
    from ops.runs as runs
    where
        runs.job = 'snapshots'
        and runs.status in ('succeeded', 'unchanged')
        {% if kind %}
            and runs.detail ->> 'kind' = '{{ kind }}'
        {% endif %}
{%- endmacro %}
