{#
    Incremental strategy of spread_alerts: the episodes that reach into a range
    that was judged anew make room for those of the new judgement, and those of
    a threshold that is gone for the one that was open. What has not changed
    stays as it is.
#}
{% macro get_incremental_replace_episodes_sql(arg_dict) %}
    with

    {{ thresholds_to_judge() }},

    {{ spread_ranges() }}

    delete from {{ arg_dict['target_relation'] }} as known
    using range_thresholds as judged_by
    where
        known.book = judged_by.book
        and known.threshold_pct = judged_by.threshold_pct
        and known.opened_at < judged_by.range_end
        and (
            known.closed_at is null or known.closed_at >= judged_by.range_start
        )
        and not exists (
            select 1
            from {{ arg_dict['temp_relation'] }} as judged
            where
                ({{ column_list(arg_dict, 'judged.') }})
                is not distinct from ({{ column_list(arg_dict, 'known.') }})
        );

    with

    {{ thresholds_to_judge() }}

    delete from {{ arg_dict['target_relation'] }} as known
    using thresholds
    where
        known.book = thresholds.book
        and known.threshold_pct = thresholds.threshold_pct
        and not thresholds.is_watched;

    insert into {{ arg_dict['target_relation'] }} ({{ column_list(arg_dict) }})
    select {{ column_list(arg_dict) }} from {{ arg_dict['temp_relation'] }}
    on conflict (book, threshold_pct, opened_at) do nothing
{% endmacro %}


{# The columns of a strategy's table, each with a prefix, with commas. #}
{% macro column_list(arg_dict, prefix='') -%}
    {{ prefix ~ arg_dict['dest_columns']
        | map(attribute='name') | join(', ' ~ prefix) }}
{%- endmacro %}
