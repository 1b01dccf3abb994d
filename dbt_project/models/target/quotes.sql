{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['book', 'quoted_at', 'feed', 'bid', 'ask'],
        indexes=[{'columns': ['changed_in']}],
        pre_hook=[
            "{{ lock_cuts() }}",
            "{{ forget_replayed('quoted_at') }}",
            "{{ forget_renamed_quotes() }}",
        ],
        post_hook=[
            "{{ remember_progress('quotes') }}",
            "{{ forget_renamed_books() }}",
            "{{ remember_aliases() }}",
        ],
    )
}}

{% do assert_remembered(
    'select feed as origin, min(quoted_at) as since from '
    ~ this ~ ' group by 1',
    'select feed as origin, min(quoted_at) as since from '
    ~ ref('received_quotes') ~ ' group by 1'
) %}

-- Its foreign key holds while it runs: the books come first.
-- depends_on: {{ ref('books') }}
-- depends_on: {{ ref('stg_lake__spread_observations') }}

with

received_quotes as (

    select * from {{ ref('received_quotes') }}
    where {{ is_pending('run_id', 'quotes', 'quoted_at') }}
    {% if has_changed_aliases() %}
        union all
        select * from {{ ref('received_quotes') }}
        where
            feed = 'lake'
            and book = any({{ renamed_books() }})
            and run_id in (
                select finished_runs.run_id
                from {{ ref('stg_pipeline__finished_runs') }} as finished_runs
            )
    {% endif %}

),

different_quotes as (

    select distinct
        received_quotes.book,
        received_quotes.quoted_at,
        received_quotes.feed,
        received_quotes.bid,
        received_quotes.ask
    from received_quotes

),

{{ quotes_of_seconds() }},

quotes_of_touched_seconds as (

    select * from new_quotes
    union all
    select * from known_quotes

),

{{ quotes_ranked('quotes_of_touched_seconds') }},

changed as (

    select
        ---------- ids
        ranked.book,
        ranked.quoted_at,
        ranked.feed,

        ---------- numerics
        ranked.bid,
        ranked.ask,
        ranked.spread,
        -- A replay is later than all that is modelled already.
        {{ latest_cut() }}{{ ' + 1' if is_replay() }} as changed_in,

        ---------- booleans
        ranked.is_primary
    from ranked
    where ranked.is_primary is distinct from ranked.was_primary

)

select * from changed
