{#
    What came in after the last quote that the alerts have seen. CTEs
    `modelled` and `fresh_quotes`, the latter different quotes.
#}
{% macro quotes_since_modelled() %}
    -- Not as far as the quotes are: while dbt runs, they are ahead of the alerts.
    modelled as (

        select {{ seen_until('spread_alerts') }} as modelled_until

    ),

    fresh_quotes as (

        select distinct
            received.book,
            received.quoted_at,
            received.feed,
            received.bid,
            received.ask
        from {{ ref('received_quotes') }} as received
        where received.quoted_at > (select modelled.modelled_until from modelled)

    )
{% endmacro %}
