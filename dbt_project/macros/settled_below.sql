{#
    Below this number every run had ended, and was known, at the last cut: that
    one was settled furthest. Of all that ever ran, a build looks at the last
    day.
#}
{% macro settled_below(finished_runs) -%}
    (
        select coalesce(max(last_runs.settled_below), 0)
        from {{ finished_runs }} as last_runs
        where
            last_runs.cut
            = (select max(latest.cut) from {{ finished_runs }} as latest)
    )
{%- endmacro %}
