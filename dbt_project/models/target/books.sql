{{
    config(
        materialized='incremental',
        incremental_strategy='upsert',
        unique_key=['book'],
        pre_hook="{{ lock_cuts(shared=true) }}",
        post_hook="{{ remember_progress('books') }}",
    )
}}

{% do assert_remembered(
    "select 'the catalogue' as origin, min(first_seen) as since from " ~ this,
    "select 'the catalogue' as origin, min(received_at) as since from "
    ~ ref('stg_bitso__books')
) %}

-- depends_on: {{ ref('book_aliases') }}
-- depends_on: {{ ref('stg_pipeline__aliases_taken_in') }}

{% set quotes = adapter.get_relation(
    target.database, 'target', 'quotes'
) if execute %}
{% if quotes %}
    {% do assert_remembered(
        'select feed as origin, min(quoted_at) as since from '
        ~ quotes ~ ' group by 1',
        'select feed as origin, min(quoted_at) as since from '
        ~ ref('received_quotes') ~ ' group by 1'
    ) %}
{% endif %}

with

catalogues as (

    select * from {{ ref('stg_bitso__books') }}
    where {{ is_pending('run_id', 'books', 'received_at') }}

),

received_quotes as (

    select * from {{ ref('received_quotes') }}
    where {{ is_pending('run_id', 'books', 'quoted_at') }}

),

mentions as (

    select
        catalogues.book,
        catalogues.received_at as first_seen,
        catalogues.received_at as last_seen
    from catalogues
    union all
    select distinct
        received_quotes.book,
        cast(null as timestamptz) as first_seen,
        cast(null as timestamptz) as last_seen
    from received_quotes
    {% if has_changed_aliases() %}
        -- `quotes` reads all that was imported of these once more.
        union all
        select distinct
            imported.book,
            cast(null as timestamptz) as first_seen,
            cast(null as timestamptz) as last_seen
        from {{ ref('received_quotes') }} as imported
        where
            imported.feed = 'lake'
            and imported.book = any({{ renamed_books() }})
            and imported.run_id in (
                select finished_runs.run_id
                from {{ ref('stg_pipeline__finished_runs') }} as finished_runs
            )
    {% endif %}
    {% if is_incremental() %}
        union all
        select
            known.book,
            known.first_seen,
            known.last_seen
        from {{ this }} as known
    {% endif %}

),

mentions_merged_to_books as (

    select
        mentions.book,
        min(mentions.first_seen) as first_seen,
        max(mentions.last_seen) as last_seen
    from mentions
    group by 1

)

select * from mentions_merged_to_books
