{# What is wrong with the rows of a seed, a select of `fault`. #}
{% macro settings_faults(name, rows) %}
    with

    -- As values: what a text is cast to must not be seen before it is asked.
    settings as materialized (

        select *
        from ({{ rows }}) as rows (
            {{ checked_settings()[name] | join(', ') }}
        )

    ),

    {% if name == 'spread_thresholds' %}

        verdicts as (

            select
                concat_ws(' ', settings.book, settings.threshold_pct, '%')
                    as which,
                case
                    when settings.book is null or settings.channel is null
                        then 'book or channel is missing'
                    when not {{ is_percentage('settings.threshold_pct') }}
                        then 'threshold_pct is no number from 0 on'
                    when settings.close_below_pct is null
                        then null
                    when not {{ is_percentage('settings.close_below_pct') }}
                        then 'close_below_pct is no number from 0 on: '
                            || settings.close_below_pct
                    when
                        cast(settings.close_below_pct as numeric)
                        > cast(settings.threshold_pct as numeric)
                        then 'close_below_pct is above the threshold: '
                            || settings.close_below_pct
                end as fault
            from settings
            union all
            select
                concat_ws(' ', settings.book, settings.threshold_pct, '%')
                    as which,
                'min_observations is no whole number from 1 on: '
                || settings.min_observations as fault
            from settings
            where
                settings.min_observations is not null
                and not {{ is_count('settings.min_observations') }}

        )

    {% elif name == 'feeds' %}

        verdicts as (

            select
                settings.feed as which,
                'interval_seconds is no whole number from 1 on: '
                || coalesce(settings.interval_seconds, 'missing') as fault
            from settings
            where not {{ is_count('settings.interval_seconds') }}

        )

    {% elif name == 'known_event_types' %}

        -- An event that is none by mistake would take its logins out of every
        -- answer without a word.
        verdicts as (

            select
                settings.event_name as which,
                'is_login is neither true nor false: '
                || coalesce(settings.is_login, 'missing') as fault
            from settings
            where pg_input_is_valid(settings.is_login, 'boolean') is not true
            union all
            select
                'is_login' as which,
                'no event is a login' as fault
            from settings
            having bool_or(settings.is_login ~* '^(t|true|y|yes|on|1)$') is not true

        )

    {% else %}

        {% set books = adapter.get_relation(
            target.database, 'target', 'books'
        ) %}

        -- Before the first run has made the table, as the catalogues have them.
        verdicts as (

            select
                settings.alias as which,
                'hides the book of that name, which Bitso lists' as fault
            from settings
            where
                lower(settings.alias) in (
                    {% if books %}
                        select listed.book
                        from {{ books }} as listed
                        where listed.first_seen is not null
                    {% else %}
                        select listed.book
                        from raw.bitso_books as listed
                    {% endif %}
                )
                and lower(settings.alias) <> lower(settings.book)
            union all
            select
                lower(settings.alias) as which,
                'is the alias of ' || count(*) || ' books' as fault
            from settings
            group by lower(settings.alias)
            having count(*) > 1

        )

    {% endif %}

    select concat_ws(': ', verdicts.which, verdicts.fault) as fault
    from verdicts
    where verdicts.fault is not null
    order by fault
{% endmacro %}
