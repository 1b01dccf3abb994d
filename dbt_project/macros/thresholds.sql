{#
    How the models over the spread find which thresholds are new to them. Each
    remembers those that it was built with, in the transaction of its rows: a
    new book or threshold is computed by itself then, and an alert whose
    threshold is gone can be closed by what it was opened by.
#}

{#
    The thresholds to judge alerts by: those that hold (is_watched), and those
    that spread_alerts was last built with and that hold no more. Is_new: it was
    not built with them, or not as they are now. CTE `thresholds`.
#}
{% macro thresholds_to_judge() %}
    watched_thresholds as (

        select * from {{ ref('book_thresholds') }}

    ),

    known_thresholds as (

        select * from {{ ref('stg_pipeline__thresholds_taken_in') }}
        where model_name = 'spread_alerts'

    ),

    thresholds as (

        select
            coalesce(watched.book, known.book) as book,
            coalesce(watched.threshold_pct, known.threshold_pct)
                as threshold_pct,
            coalesce(watched.close_below_pct, known.close_below_pct)
                as close_below_pct,
            coalesce(watched.min_observations, known.min_observations)
                as min_observations,
            coalesce(watched.channels, known.channels) as channels,
            watched.book is not null as is_watched,
            watched.book is not null
            and (
                watched.close_below_pct is distinct from known.close_below_pct
                or watched.min_observations
                is distinct from known.min_observations
                or watched.channels is distinct from known.channels
            ) as is_new
        from watched_thresholds as watched
        full outer join known_thresholds as known
            on
                watched.book = known.book
                and watched.threshold_pct = known.threshold_pct

    )
{% endmacro %}


{# Post-hook: the thresholds that the model has been built with. #}
{% macro remember_thresholds(model_name, thresholds) -%}
    {% set known = ref('stg_pipeline__thresholds_taken_in') %}
    delete from {{ known }} as known
    where
        known.model_name = '{{ model_name }}'
        and not exists (
            select 1
            from {{ thresholds }} as watched
            where
                watched.book = known.book
                and watched.threshold_pct = known.threshold_pct
        );

    insert into {{ known }} as known (
        model_name,
        book,
        threshold_pct,
        close_below_pct,
        min_observations,
        channels
    )
    select
        '{{ model_name }}' as model_name,
        watched.book,
        watched.threshold_pct,
        watched.close_below_pct,
        watched.min_observations,
        watched.channels
    from {{ thresholds }} as watched
    on conflict (model_name, book, threshold_pct) do update set
        close_below_pct = excluded.close_below_pct,
        min_observations = excluded.min_observations,
        channels = excluded.channels
    where
        (known.close_below_pct, known.min_observations, known.channels)
        is distinct from (
            excluded.close_below_pct,
            excluded.min_observations,
            excluded.channels
        )
{%- endmacro %}


{# Whether a table that has rows already is made anew, from all there is. #}
{% macro is_made_anew() %}
    {% do return(
        execute and not is_incremental()
        and load_cached_relation(this) is not none
    ) %}
{% endmacro %}
