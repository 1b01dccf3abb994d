{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['book', 'quoted_at', 'feed', 'bid', 'ask'],
        indexes=[{'columns': ['changed_in']}],
        pre_hook=["{{ lock_cuts() }}", "{{ forget_replayed('quoted_at') }}"],
        post_hook="{{ remember_progress('quotes') }}",
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

with

received_quotes as (

    select * from {{ ref('received_quotes') }}
    where {{ is_pending('run_id', 'quotes', 'quoted_at') }}

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

{% if is_incremental() %}

    new_quotes as (

        select
            different_quotes.*,
            cast(null as boolean) as was_primary
        from different_quotes
        where
            not exists (
                select 1
                from {{ this }} as known
                where
                    known.book = different_quotes.book
                    and known.quoted_at = different_quotes.quoted_at
                    and known.feed = different_quotes.feed
                    and known.bid = different_quotes.bid
                    and known.ask = different_quotes.ask
            )

    ),

    touched_seconds as (

        select distinct
            new_quotes.book,
            {{ start_of('second', 'new_quotes.quoted_at') }} as second_start
        from new_quotes

    ),

    -- One probe of the key for each second, however much history there is.
    known_quotes as (

        select known_in_second.*
        from touched_seconds
        cross join
            lateral (
                select
                    known.book,
                    known.quoted_at,
                    known.feed,
                    known.bid,
                    known.ask,
                    known.is_primary as was_primary
                from {{ this }} as known
                where
                    known.book = touched_seconds.book
                    and known.quoted_at >= touched_seconds.second_start
                    and known.quoted_at
                    < touched_seconds.second_start + interval '1 second'
                order by known.quoted_at
                offset 0
            ) as known_in_second

    ),

{% else %}

    new_quotes as (

        select
            different_quotes.*,
            cast(null as boolean) as was_primary
        from different_quotes

    ),

    known_quotes as (

        select * from new_quotes
        where false

    ),

{% endif %}

quotes_of_touched_seconds as (

    select * from new_quotes
    union all
    select * from known_quotes

),

ranked as (

    select
        quotes_of_touched_seconds.*,
        rank() over (
            partition by
                quotes_of_touched_seconds.book,
                {{ start_of('second', 'quotes_of_touched_seconds.quoted_at') }}
            order by {{ feed_rank('quotes_of_touched_seconds.feed') }}
        ) = 1 as is_primary
    from quotes_of_touched_seconds

),

changed as (

    select
        ---------- ids
        ranked.book,
        ranked.quoted_at,
        ranked.feed,

        ---------- numerics
        ranked.bid,
        ranked.ask,
        cast(
            round((ranked.ask - ranked.bid) * 100 / ranked.ask, 12)
            as numeric(56, 12)
        ) as spread,
        -- A replay is later than all that is modelled already.
        {{ latest_cut() }}{{ ' + 1' if is_replay() }} as changed_in,

        ---------- booleans
        ranked.is_primary
    from ranked
    where ranked.is_primary is distinct from ranked.was_primary

)

select * from changed
