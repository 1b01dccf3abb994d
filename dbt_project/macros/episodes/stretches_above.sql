{#
    The stretches without a calm observation or a silence, and where in each
    there have been enough breaches in a row. CTE `bounded`, from a CTE
    `restless`.
#}
{% macro stretches_above() %}
    stretches as (

        select
            restless.*,
            count(*) filter (
                where restless.is_first and not restless.is_carried
            ) over so_far as stretch,
            count(*) filter (
                where
                restless.is_breach
                and (restless.is_first or not restless.is_after_breach)
            ) over so_far as breach_run
        from restless
        window
            so_far as (
                partition by
                    restless.book, restless.range_start, restless.threshold_pct
                order by restless.place
            )

    ),

    breach_runs as (

        select
            stretches.*,
            stretches.is_carried
            or (
                stretches.is_breach
                and count(*) filter (where stretches.is_breach) over (
                    partition by
                        stretches.book,
                        stretches.range_start,
                        stretches.threshold_pct,
                        stretches.stretch,
                        stretches.breach_run
                ) >= stretches.min_observations
            ) as is_enough
        from stretches

    ),

    bounded as (

        select
            breach_runs.*,
            min(breach_runs.place) filter (
                where breach_runs.is_enough
            ) over in_stretch as first_place,
            max(breach_runs.place) over in_stretch as last_place
        from breach_runs
        window
            in_stretch as (
                partition by
                    breach_runs.book,
                    breach_runs.range_start,
                    breach_runs.threshold_pct,
                    breach_runs.stretch
            )

    )
{% endmacro %}
