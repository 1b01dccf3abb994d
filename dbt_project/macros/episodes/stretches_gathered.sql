{#
    Each stretch with enough breaches as one row, from there on where they were
    enough. CTE `gathered`, from a CTE `bounded`.
#}
{% macro stretches_gathered() %}
    gathered as (

        select
            bounded.book,
            bounded.threshold_pct,
            bounded.channels,
            bounded.is_watched,
            min(case
                when bounded.is_carried then bounded.carried_opened_at
                else bounded.observed_at
            end) as opened_at,
            max(bounded.observed_at) as last_observed_at,
            max(bounded.blind_at) filter (
                where bounded.place = bounded.last_place
            ) as blind_at,
            max(bounded.next_at) filter (
                where bounded.place = bounded.last_place
            ) as next_at,
            {% for value in ('bid', 'ask', 'spread') %}
                max(case
                    when bounded.is_carried then bounded.carried_{{ value }}
                    else bounded.{{ value }}
                end) filter (
                    where bounded.place = bounded.first_place
                ) as opening_{{ value }},
            {% endfor %}
            max(case
                when bounded.is_carried then bounded.carried_peak
                else bounded.spread
            end) as peak_spread,
            cast(sum(case
                when bounded.is_carried then bounded.carried_observations
                else 1
            end) as bigint) as observations,
            cast(sum(case
                when bounded.is_carried then bounded.carried_breaches
                when bounded.is_breach then 1
                else 0
            end) as bigint) as breaches
        from bounded
        where bounded.place >= bounded.first_place
        group by
            bounded.book,
            bounded.range_start,
            bounded.threshold_pct,
            bounded.stretch,
            bounded.channels,
            bounded.is_watched

    )
{% endmacro %}
