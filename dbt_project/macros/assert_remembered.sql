{#
    Refuses to rebuild a table from raw days that the loader has dropped: what
    the table knows of them would be forgotten.
#}
{% macro assert_remembered(known_since, received_since) %}
    {# In a unit test there is no table. #}
    {% if
        execute and should_full_refresh() and this.database is defined
        and load_cached_relation(this)
    %}
        {% set forgotten = run_query(
            'with known as (' ~ known_since ~ '), received as ('
            ~ received_since ~ ') select known.origin, known.since from known
            left join received on known.origin = received.origin
            where known.since < coalesce(received.since, $$infinity$$)'
        ) %}
        {% if forgotten | length > 0 %}
            {% do exceptions.raise_compiler_error(
                this.identifier ~ ' knows of '
                ~ forgotten.columns['origin'].values() | join(', ')
                ~ ' from before what raw still holds: a full refresh would '
                ~ 'forget it. Drop the table first if that is meant'
            ) %}
        {% endif %}
    {% endif %}
{% endmacro %}
