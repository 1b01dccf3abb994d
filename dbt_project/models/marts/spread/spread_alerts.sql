{{
    config(
        materialized='incremental',
        incremental_strategy='replace_episodes',
        unique_key=['book', 'threshold_pct', 'opened_at'],
        indexes=[{'columns': ['closed_at']}],
        pre_hook="{{ lock_cuts(shared=true) }}",
        post_hook=[
            "{{ remember_progress(
                'spread_alerts', ['quotes'], spread_settings(),
                latest_quoted_at()
            ) }}",
            "{{ remember_thresholds(
                'spread_alerts', ref('book_thresholds')
            ) }}",
        ],
    )
}}

-- depends_on: {{ ref('spread_hourly') }}

with

books as (

    select * from {{ ref('books') }}

),

quotes as not materialized (

    select * from {{ ref('quotes') }}

),

-- How far the market has been seen at all: a book that is silent since then
-- is unseen.
seen as (

    select max(latest_quotes.quoted_at) as seen_until
    from {{ latest_quotes() }}

),

{{ thresholds_to_judge() }},

{{ observations_to_judge() }},

{{ spread_episodes(
    'observations', 'carried', '(select seen.seen_until from seen)', ref('feeds')
) }},

-- What closed because nobody watched for it any more is not told by quotes and
-- thresholds: a full refresh has it from the table as it was.
all_episodes as (

    select
        episodes.book,
        episodes.threshold_pct,
        episodes.opened_at,
        episodes.closed_at,
        episodes.last_observed_at,
        episodes.blind_at,
        episodes.close_reason,
        episodes.channels,
        episodes.opening_bid,
        episodes.opening_ask,
        episodes.opening_spread,
        episodes.peak_spread,
        episodes.observations,
        episodes.breaches
    from episodes
    {% if is_made_anew() %}
        union all
        select
            known.book,
            known.threshold_pct,
            known.opened_at,
            known.closed_at,
            known.last_observed_at,
            known.blind_at,
            known.close_reason,
            known.channels,
            known.opening_bid,
            known.opening_ask,
            known.opening_spread,
            known.peak_spread,
            known.observations,
            known.breaches
        from {{ this }} as known
        where
            known.close_reason = 'unwatched'
            and not exists (
                select 1 from thresholds
                where
                    thresholds.book = known.book
                    and thresholds.threshold_pct = known.threshold_pct
            )
    {% endif %}

)

select * from all_episodes
