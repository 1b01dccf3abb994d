{#
    For how long a book may be unseen whose feed has such an interval, in
    seconds; `limits` are the settings.
#}
{% macro blind_after_seconds(interval_seconds) -%}
    cast(
        greatest(limits.blind_after_seconds, 3 * {{ interval_seconds }})
        as integer
    )
{%- endmacro %}


{# The cause of a gap (ops.gaps) in words that can follow the name of a book. #}
{% macro cause_in_words(cause) -%}
    case {{ cause }}
        when 'starting' then 'the stream is starting'
        when 'resync' then 'the stream waits for a whole order book'
        when 'stale' then 'nothing is heard on the connection'
        when 'database' then 'Postgres could not take what was seen'
        when 'killed' then 'the stream was killed'
        when 'throttled' then 'the exchange allows no more requests'
        when 'not_running' then 'nobody watches'
        when 'failed' then 'the last poll did not bring it'
        else {{ cause }}
    end
{%- endmacro %}


{#
    When a raw table saw the book of `watched` last: not max(), for which
    Postgres would read all that there is of the book. The length is that of
    the index.
#}
{% macro last_received(raw_table) -%}
    (
        select received.received_at
        from {{ raw_table }} as received
        where received.book = watched.book and length(received.book) <= 300
        order by received.received_at desc
        limit 1
    )
{%- endmacro %}


{#
    Why nobody sees a book, from CTEs `judged`, `gaps` and `runs`: while its
    feed's account goes on, that says it; else the account has ended, and the
    last run that failed since may say why.
#}
{% macro cause_of_blindness() -%}
    coalesce(
        (
            select {{ cause_in_words('newest_gap.cause') }}
            from (
                select
                    gaps.cause,
                    gaps.gap_until
                from gaps
                where
                    gaps.book = judged.book
                    and gaps.feed = judged.feed
                order by gaps.gap_from desc
                limit 1
            ) as newest_gap
            where
                newest_gap.gap_until >= judged.monitored_until
                and judged.monitored_until
                + judged.blind_after_seconds * interval '1 second' > now()
        ),
        (
            select
                case last_good.job
                    when 'replay'
                        then
                            'recorded until '
                            || {{ minute_in_words('judged.monitored_until') }}
                    when 'stream'
                        then
                            'the stream has written nothing since '
                            || {{ minute_in_words('judged.monitored_until') }}
                    else
                        'no poll since '
                        || {{ minute_in_words('last_good.started_at') }}
                end
                || coalesce(
                    (
                        select ' (last run failed: ' || failed.error || ')'
                        from runs as failed
                        where
                            failed.job = last_good.job
                            and failed.started_at > last_good.started_at
                            and failed.status in ('failed', 'refused')
                        order by failed.started_at desc
                        limit 1
                    ),
                    ''
                )
            from runs as last_good
            where last_good.run_id = judged.run_id
        )
    )
{%- endmacro %}
