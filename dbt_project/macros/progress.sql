{#
    How the models over the market find what is new. The loader's runs are
    taken in by cuts (stg_pipeline__finished_runs); a model remembers the last
    cut that it has taken in, in the transaction of its rows, and reads the
    rows of later cuts only. Late rows and replays are runs like any other.
#}

{#
    Whether the run of a row has not been taken in by a model yet; when it is
    rebuilt, whether it has finished. An array, for Postgres hands it down to
    the index of every partition, below unions too, which it does with no join.
    In a replay, the rows of its time, whatever has been taken in.
#}
{% macro is_pending(run_id, model_name, instant, settings="''") -%}
    {% if is_incremental() and not is_replay() -%}
        {{ run_id }} = any(array(
            select runs.run_id
            from {{ ref('stg_pipeline__finished_runs') }} as runs
            where runs.cut > {{ taken_in(model_name, settings) }}
        ))
    {%- else -%}
        {% if is_replay() %}{{ is_replayed(instant) }} and {% endif -%}
        {{ run_id }} in (
            select runs.run_id
            from {{ ref('stg_pipeline__finished_runs') }} as runs
        )
    {%- endif %}
{%- endmacro %}


{# The last cut that a model has taken in; 0 when its settings have changed. #}
{% macro cut_of(model_name, settings="''") -%}
    coalesce((
        select progress.cut
        from {{ ref('stg_pipeline__progress') }} as progress
        where
            progress.model_name = '{{ model_name }}'
            and progress.settings_digest = {{ settings }}
    ), 0)
{%- endmacro %}


{#
    The same as a number: Postgres sees then how few rows are newer, and takes
    the index. Asked before the model runs, for only the model itself moves it.
#}
{% macro taken_in(model_name, settings="''") %}
    {% set question = 'select ' ~ cut_of(model_name, settings) ~ ' as cut' %}
    {% do return(
        run_query(question).columns['cut'].values()[0] if execute else 0
    ) %}
{% endmacro %}


{# The last cut that there is. #}
{% macro latest_cut() -%}
    (
        select coalesce(max(runs.cut), 0)
        from {{ ref('stg_pipeline__finished_runs') }} as runs
    )
{%- endmacro %}


{# The last cut that all of some models have taken in. #}
{% macro earliest_cut(model_names) -%}
    least({% for model_name in model_names -%}
        {{ cut_of(model_name) }}{{ ', ' if not loop.last }}
    {%- endfor %})
{%- endmacro %}


{#
    Held to the end of a model's transaction, so that what it read and what it
    remembers are the same also when two dbt runs overlap: whoever moves a cut
    or the quotes waits for those who read them.
#}
{% macro lock_cuts(shared=false) -%}
    select pg_advisory_xact_lock{{ '_shared' if shared }}(
        hashtextextended('bitso-warehouse:cuts', 0)
    )
{%- endmacro %}


{#
    Post-hook: what the model has taken in. A model that reads others is as far
    as the last of them. A replay takes in nothing that is new. `seen_until`:
    the latest quote that it has seen, where somebody goes on from there.
#}
{% macro remember_progress(
    model_name, source_models=none, settings="''", seen_until='null'
) -%}
    {% if source_models or not is_replay() %}
    insert into {{ ref('stg_pipeline__progress') }}
    (model_name, cut, settings_digest, seen_until)
    values (
        '{{ model_name }}',
        {{ earliest_cut(source_models) if source_models else latest_cut() }},
        {{ settings }},
        {{ seen_until }}
    )
    on conflict (model_name) do update set
        cut = excluded.cut,
        settings_digest = excluded.settings_digest,
        seen_until = excluded.seen_until
    {% endif %}
{%- endmacro %}


{# A digest of what verdicts depend on beside the quotes and thresholds. #}
{% macro spread_settings() -%}
    (
        select md5(string_agg(
            cast(feeds as text), ';' order by cast(feeds as text)
        ))
        from {{ ref('feeds') }} as feeds
    )
{%- endmacro %}
