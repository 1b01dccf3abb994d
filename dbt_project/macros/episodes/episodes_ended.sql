{#
    When and why each episode has ended, if it has. What is open of a threshold
    that is not watched any more ends with its last observation; what had ended
    before goes. CTE `episodes`, from CTEs `gathered` and `seen`; as_of as in
    spread_episodes.
#}
{% macro episodes_ended(as_of) %}
    -- When the next observation came, or else until when none has come. What is
    -- not watched is judged by what has been seen, so that its end stays.
    gathered_as_of as (

        select
            gathered.*,
            coalesce(gathered.next_at, case
                when gathered.is_watched then {{ as_of }}
                else (select seen.seen_until from seen)
            end) as known_until
        from gathered

    ),

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
                when gathered.known_until > gathered.blind_at
                    then gathered.blind_at
                when not gathered.is_watched
                    then gathered.last_observed_at
                        + interval '1 microsecond'
            end as closed_at,
            gathered.last_observed_at,
            gathered.blind_at,

            ---------- strings
            case
                when gathered.next_at <= gathered.blind_at
                    then 'calm'
                when gathered.known_until > gathered.blind_at
                    then 'blind'
                when not gathered.is_watched then 'unwatched'
            end as close_reason,
            gathered.channels,

            ---------- numerics
            cast(gathered.opening_bid as numeric(38, 18)) as opening_bid,
            cast(gathered.opening_ask as numeric(38, 18)) as opening_ask,
            cast(gathered.opening_spread as numeric(56, 12)) as opening_spread,
            cast(gathered.peak_spread as numeric(56, 12)) as peak_spread,
            gathered.observations,
            gathered.breaches
        from gathered_as_of as gathered
        where
            gathered.is_watched
            or (
                gathered.next_at is null
                and (gathered.known_until > gathered.blind_at) is not true
            )

    )
{% endmacro %}
