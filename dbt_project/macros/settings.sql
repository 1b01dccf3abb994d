{#
    Settings that cannot be meant are refused in one line, before anything is
    taken in: the models that fix what a run sees come after these seeds. Each
    seed is checked as its file has it, before it is loaded; a run that loads
    none checks the tables.
#}
{% macro checked_settings() %}
    {% do return({
        'spread_thresholds': [
            'book', 'threshold_pct', 'close_below_pct', 'min_observations',
            'channel',
        ],
        'book_aliases': ['alias', 'book'],
        'feeds': ['feed', 'interval_seconds'],
        'known_event_types': ['event_name', 'is_login'],
    }) %}
{% endmacro %}


{# Pre-hook of seeds: the rows of the file. #}
{% macro refuse_wrong_seed() %}
    {% set columns = checked_settings().get(this.identifier) %}
    {% if execute and columns %}
        {% set rows = [] %}
        {% for row in load_agate_table().rows %}
            {% set values = [] %}
            {% for column in columns %}
                {% do values.append(
                    'cast(null as text)' if row[column] is none
                    else dbt.string_literal(
                        dbt.escape_single_quotes(row[column] | string)
                    )
                ) %}
            {% endfor %}
            {% do rows.append('select ' ~ values | join(', ')) %}
        {% endfor %}
        {% do rows.append(
            'select cast(null as text)'
            ~ ', cast(null as text)' * (columns | length - 1) ~ ' where false'
        ) %}
        {% do refuse_settings(this.identifier, rows | join(' union all ')) %}
    {% endif %}
{% endmacro %}


{# On-run-start: the rows of the tables that this run does not load. #}
{% macro refuse_wrong_settings() %}
    {% if execute and flags.WHICH in ('build', 'run') %}
        {% for name, columns in checked_settings().items() %}
            {% set id = 'seed.bitso_warehouse.' ~ name %}
            {% set table = adapter.get_relation(
                target.database, 'reference', name
            ) %}
            {% if table and not (
                flags.WHICH == 'build' and id in selected_resources
            ) %}
                {% do refuse_settings(
                    name,
                    'select cast(' ~ columns | join(' as text), cast(')
                    ~ ' as text) from ' ~ table
                ) %}
            {% endif %}
        {% endfor %}
    {% endif %}
{% endmacro %}


{# Stops the run with what is wrong with the rows of a seed, all as text. #}
{% macro refuse_settings(name, rows) %}
    {% set faults = run_query(settings_faults(name, rows)) %}
    {% if faults | length > 0 %}
        {% do exceptions.raise_compiler_error(
            'seeds/reference/' ~ name ~ '.csv is refused: '
            ~ faults.columns['fault'].values() | join('; ')
        ) %}
    {% endif %}
{% endmacro %}
