{#
    The one definition of an alert episode, as CTEs that end in `episodes`:
    spread_alerts puts modelled quotes in, spread_alerts_live what has come
    since, and backtested_alerts judges by thresholds that nobody watches.

    An observation is calm when its spread is not bigger than close_below_pct.
    An episode opens with the first of min_observations breaches in a row, and
    goes on until an observation is calm, or until there is none for longer
    than the last one's feed may be silent: then it closes when that time is
    up, as blind, and what comes after begins anew.

    observations: book, range_start, observed_at, feed, bid, ask, spread,
        context_rank. Of each range all observations, and before them, as
        context, the last ones before it, ranked from its start backwards. A
        book is observed once an instant.
    range_thresholds: a CTE, of each range the thresholds that it is judged for:
        book, range_start and the columns of thresholds_to_judge.
    seen: a CTE of one row, seen_until: the latest observation of any book.
    carried: book, range_start, threshold_pct, opened_at, opening_bid,
        opening_ask, opening_spread, peak_spread, observations, breaches. Of
        each range the episodes that were open when it began, as they were.
    as_of: an expression, the instant up to which silence is known
    feeds: a relation of every feed with its interval_seconds
#}
{% macro spread_episodes(observations, carried, as_of, feeds) %}
    {{ observations_in_order(observations, feeds) }},

    {{ observations_above(carried) }},

    {{ stretches_above() }},

    {{ stretches_gathered() }},

    {{ episodes_ended(as_of) }}
{% endmacro %}
