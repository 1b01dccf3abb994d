{#
    The one definition of an alert episode, as CTEs that end in `episodes`:
    spread_alerts puts modelled quotes in, spread_alerts_live what has come
    since.

    An observation is calm when its spread is not bigger than close_below_pct.
    An episode opens with the first of min_observations breaches in a row, and
    goes on until an observation is calm, or until there is none for longer
    than the last one's feed may be silent: then it closes when that time is
    up, as blind, and what comes after begins anew.

    observations: book, range_start, observed_at, feed, bid, ask, spread,
        context_rank. Of each range all observations, and before them, as
        context, the last ones before it, ranked from its start backwards.
    carried: book, range_start, threshold_pct, opened_at, opening_bid,
        opening_ask, opening_spread, peak_spread, observations, breaches. Of
        each range the episodes that were open when it began, as they were.
    as_of: an expression, the instant up to which silence is known
#}
{% macro spread_episodes(observations, carried, as_of) %}
    feed_limits as (

        select
            feeds.feed,
            greatest(
                3 * feeds.interval_seconds, 60
            ) * interval '1 second' as blind_after
        from {{ ref('feeds') }} as feeds

    ),

    book_thresholds as (

        select * from {{ ref('book_thresholds') }}

    ),

    observations_with_limit as (

        select
            {{ observations }}.*,
            {{ observations }}.observed_at + feed_limits.blind_after as blind_at
        from {{ observations }}
        inner join feed_limits
            on {{ observations }}.feed = feed_limits.feed

    ),

    neighbours as (

        select
            observations_with_limit.*,
            lag(observations_with_limit.bid) over in_range as previous_bid,
            lag(observations_with_limit.ask) over in_range as previous_ask,
            coalesce(
                observations_with_limit.observed_at
                > lag(observations_with_limit.blind_at) over in_range,
                true
            ) as is_after_gap,
            lead(observations_with_limit.observed_at) over in_range as next_at,
            row_number() over in_range as place
        from observations_with_limit
        window
            in_range as (
                partition by
                    observations_with_limit.book,
                    observations_with_limit.range_start
                order by
                    observations_with_limit.observed_at,
                    observations_with_limit.bid,
                    observations_with_limit.ask
            )

    ),

    -- Calm ones are needed no more: their neighbours know of them. Where an
    -- episode is carried into a range, its last observation stands for it.
    restless as (

        select
            neighbours.*,
            book_thresholds.threshold_pct,
            book_thresholds.channels,
            book_thresholds.min_observations,
            {{ carried }}.opened_at as carried_opened_at,
            {{ carried }}.opening_bid as carried_bid,
            {{ carried }}.opening_ask as carried_ask,
            {{ carried }}.opening_spread as carried_spread,
            {{ carried }}.peak_spread as carried_peak,
            {{ carried }}.observations as carried_observations,
            {{ carried }}.breaches as carried_breaches,
            {{ carried }}.opened_at is not null
            and neighbours.context_rank is not null as is_carried,
            {{ function('is_above') }}(
                neighbours.bid,
                neighbours.ask,
                book_thresholds.threshold_pct
            ) as is_breach,
            neighbours.is_after_gap
            or not {{ function('is_above') }}(
                neighbours.previous_bid,
                neighbours.previous_ask,
                book_thresholds.close_below_pct
            ) as is_first,
            {{ function('is_above') }}(
                neighbours.previous_bid,
                neighbours.previous_ask,
                book_thresholds.threshold_pct
            ) as is_after_breach
        from neighbours
        inner join book_thresholds
            on neighbours.book = book_thresholds.book
        left join {{ carried }}
            on
                neighbours.book = {{ carried }}.book
                and neighbours.range_start = {{ carried }}.range_start
                and book_thresholds.threshold_pct
                = {{ carried }}.threshold_pct
        where
            {{ function('is_above') }}(
                neighbours.bid,
                neighbours.ask,
                book_thresholds.close_below_pct
            )
            and (
                neighbours.context_rank is null
                or neighbours.context_rank < case
                    when {{ carried }}.opened_at is not null then 2
                    else book_thresholds.min_observations
                end
            )

    ),

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

    ),

    gathered as (

        select
            bounded.book,
            bounded.threshold_pct,
            bounded.channels,
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
            max(case
                when bounded.is_carried then bounded.carried_bid
                else bounded.bid
            end) filter (
                where bounded.place = bounded.first_place
            ) as opening_bid,
            max(case
                when bounded.is_carried then bounded.carried_ask
                else bounded.ask
            end) filter (
                where bounded.place = bounded.first_place
            ) as opening_ask,
            max(case
                when bounded.is_carried then bounded.carried_spread
                else bounded.spread
            end) filter (
                where bounded.place = bounded.first_place
            ) as opening_spread,
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
            bounded.channels

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


{#
    Before ranges that begin in the middle of the quotes: the last primary
    quotes, as many as can matter. CTE `context`, from a CTE `ranges` of book
    and range_start.
#}
{% macro spread_context() %}
    context as (

        select
            ranges.book,
            ranges.range_start,
            before_range.quoted_at as observed_at,
            before_range.feed,
            before_range.bid,
            before_range.ask,
            before_range.spread,
            row_number() over (
                partition by ranges.book, ranges.range_start
                order by
                    before_range.quoted_at desc,
                    before_range.bid desc,
                    before_range.ask desc
            ) as context_rank
        from ranges
        cross join
            lateral (
                select quotes.*
                from {{ ref('quotes') }} as quotes
                where
                    quotes.book = ranges.book
                    and quotes.quoted_at < ranges.range_start
                    and quotes.is_primary
                order by
                    quotes.quoted_at desc, quotes.bid desc, quotes.ask desc
                limit (
                    select greatest(max(thresholds.min_observations) - 1, 1)
                    from {{ ref('book_thresholds') }} as thresholds
                )
            ) as before_range

    )
{% endmacro %}


{#
    Which stretches of which books an incremental run has to judge anew, as
    CTEs that end in `ranges`: from each touched hour to the end of the next
    one after it in which all was calm, for there every episode has ended,
    whatever was before. Open episodes are looked at again because time passes
    for them also without an observation.
#}
{% macro spread_ranges() %}
    touched_hours as (

        select distinct
            quotes.book,
            {{ start_of('hour', 'quotes.quoted_at') }} as hour
        from {{ ref('quotes') }} as quotes
        where
            quotes.changed_in
            > {{ taken_in('spread_alerts', spread_settings()) }}
        union distinct
        select
            known.book,
            {{ start_of('hour', 'known.last_observed_at') }} as hour
        from {{ this }} as known
        where known.closed_at is null
        {% if is_replay() %}
            -- Also where nothing is left that could have changed.
            union distinct
            select
                books.book,
                generate_series(
                    timestamptz '{{ var('since') }}',
                    timestamptz '{{ var('until') }}' - interval '1 hour',
                    interval '1 hour'
                ) as hour
            from {{ ref('books') }} as books
        {% endif %}

    ),

    calm_limits as (

        select
            thresholds.book,
            min(thresholds.close_below_pct) as close_below_pct
        from {{ ref('book_thresholds') }} as thresholds
        group by thresholds.book

    ),

    touched_ranges as (

        select
            touched_hours.book,
            tstzrange(
                touched_hours.hour, next_calm.hour + interval '1 hour'
            ) as touched_range
        from touched_hours
        inner join calm_limits
            on touched_hours.book = calm_limits.book
        left join
            lateral (
                select hours.hour
                from {{ ref('spread_hourly') }} as hours
                where
                    hours.book = touched_hours.book
                    and hours.hour > touched_hours.hour
                    and hours.peak_spread < calm_limits.close_below_pct
                order by hours.hour
                limit 1
            ) as next_calm
            on true

    ),

    merged_ranges as (

        select
            touched_ranges.book,
            unnest(range_agg(touched_ranges.touched_range)) as merged_range
        from touched_ranges
        group by touched_ranges.book

    ),

    ranges as (

        select
            merged_ranges.book,
            lower(merged_ranges.merged_range) as range_start,
            coalesce(upper(merged_ranges.merged_range), 'infinity') as range_end
        from merged_ranges

    )
{% endmacro %}


{#
    Incremental strategy of spread_alerts: the episodes that reach into a range
    that was judged anew make room for those of the new judgement. What has not
    changed stays as it is.
#}
{% macro get_incremental_replace_episodes_sql(arg_dict) %}
    with

    {{ spread_ranges() }}

    delete from {{ arg_dict['target_relation'] }} as known
    using ranges
    where
        known.book = ranges.book
        and known.opened_at < ranges.range_end
        and (
            known.closed_at is null or known.closed_at >= ranges.range_start
        )
        and not exists (
            select 1
            from {{ arg_dict['temp_relation'] }} as judged
            where
                ({{ column_list(arg_dict, 'judged.') }})
                is not distinct from ({{ column_list(arg_dict, 'known.') }})
        );

    insert into {{ arg_dict['target_relation'] }} ({{ column_list(arg_dict) }})
    select {{ column_list(arg_dict) }} from {{ arg_dict['temp_relation'] }}
    on conflict (book, threshold_pct, opened_at) do nothing
{% endmacro %}


{# The columns of a strategy's table, each with a prefix, with commas. #}
{% macro column_list(arg_dict, prefix='') -%}
    {{ prefix ~ arg_dict['dest_columns']
        | map(attribute='name') | join(', ' ~ prefix) }}
{%- endmacro %}
