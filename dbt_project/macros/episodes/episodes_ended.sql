{#
    When and why each episode has ended, if it has. CTE `episodes`, from a CTE
    `gathered`; as_of as in spread_episodes.
#}
{% macro episodes_ended(as_of) %}
    episodes as (

        select
            ---------- ids
            gathered.book,
            gathered.threshold_pct,
            gathered.opened_at,

            ---------- timestamps
            case
                when gathered.next_at <= gathered.blind_at
                    then gathered.next_at
                when coalesce(gathered.next_at, {{ as_of }}) > gathered.blind_at
                    then gathered.blind_at
            end as closed_at,
            gathered.last_observed_at,
            gathered.blind_at,

            ---------- strings
            case
                when gathered.next_at <= gathered.blind_at
                    then 'calm'
                when coalesce(gathered.next_at, {{ as_of }}) > gathered.blind_at
                    then 'blind'
            end as close_reason,
            gathered.channels,

            ---------- numerics
            cast(gathered.opening_bid as numeric(38, 18)) as opening_bid,
            cast(gathered.opening_ask as numeric(38, 18)) as opening_ask,
            cast(gathered.opening_spread as numeric(56, 12)) as opening_spread,
            cast(gathered.peak_spread as numeric(56, 12)) as peak_spread,
            gathered.observations,
            gathered.breaches
        from gathered

    )
{% endmacro %}
