{#
    Incremental strategy of spread_alerts: the episodes that reach into a range
    that was judged anew make room for those of the new judgement. What has not
    changed stays as it is.
#}
{% macro get_incremental_replace_episodes_sql(arg_dict) %}
    with

    {{ spread_ranges() }}

    delete from {{ arg_dict['target_relation'] }} as known
    using ranges
    where
        known.book = ranges.book
        and known.opened_at < ranges.range_end
        and (
            known.closed_at is null or known.closed_at >= ranges.range_start
        )
        and not exists (
            select 1
            from {{ arg_dict['temp_relation'] }} as judged
            where
                ({{ column_list(arg_dict, 'judged.') }})
                is not distinct from ({{ column_list(arg_dict, 'known.') }})
        );

    insert into {{ arg_dict['target_relation'] }} ({{ column_list(arg_dict) }})
    select {{ column_list(arg_dict) }} from {{ arg_dict['temp_relation'] }}
    on conflict (book, threshold_pct, opened_at) do nothing
{% endmacro %}


{# The columns of a strategy's table, each with a prefix, with commas. #}
{% macro column_list(arg_dict, prefix='') -%}
    {{ prefix ~ arg_dict['dest_columns']
        | map(attribute='name') | join(', ' ~ prefix) }}
{%- endmacro %}
