{#
    How a function is made. dbt's own statement does not say that Postgres may
    run it in parallel: a query that calls it could not be, inlined or not. Two
    runs at once take turns, for Postgres lets only one of them replace it.
#}
{% macro postgres__scalar_function_sql(target_relation) %}
    {{ lock_functions() }}
    {{ function_sql(model, model.compiled_code) }}
{% endmacro %}


{% macro lock_functions() %}
    select pg_advisory_xact_lock(
        hashtextextended('bitso-warehouse:functions', 0)
    );
{% endmacro %}


{% macro arguments_sql(arguments) -%}
    {% for argument in arguments -%}
        {% set default = argument.get('default_value') -%}
        {{ argument.name }} {{ argument.data_type }}
        {{- ' default ' ~ default if default is not none }}
        {{- ', ' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{# A database may be copied, or get another name: no body says it. #}
{% macro without_database(body) -%}
    {{ body | replace('"' ~ target.dbname ~ '".', '') }}
{%- endmacro %}


{# Replaced, never dropped: views and readers depend on it. #}
{% macro function_sql(function, body) %}
    create or replace function {{ function.schema }}.{{ function.name }} (
        {{ arguments_sql(function.arguments) }}
    )
    returns {{ function.returns.data_type }}
    language sql parallel safe
    {{ function.config.volatility | replace('deterministic', 'immutable') }}
    as $body${{ without_database(body) }}$body$;
{% endmacro %}


{#
    The functions are there before a run begins: `dbt run` makes models only,
    and whoever reads while the first build goes on, or has failed, needs them.
    The views that they read may come later.
#}
{% macro provide_functions() %}
    {% if
        execute and flags.WHICH in ('build', 'run', 'test', 'run-operation')
    %}
        {% if target.role %}
            -- dbt has it in models only
            set local role {{ target.role }};
        {% endif %}
        {{ lock_functions() }}
        set local check_function_bodies = off;
        {% for function in graph.functions.values() %}
            {% set body = namespace(sql=function.raw_code) %}
            {% for id in function.depends_on.nodes %}
                {% set used = graph.nodes.get(id) or graph.functions[id] %}
                {% for word in ('ref', 'function') %}
                    {% set body.sql = body.sql | replace(
                        '{{ ' ~ word ~ "('" ~ used.name ~ "') }}",
                        used.schema ~ '.' ~ used.name
                    ) %}
                {% endfor %}
            {% endfor %}
            {{ function_sql(function, render(body.sql)) }}
        {% endfor %}
    {% endif %}
{% endmacro %}


{#
    The same by itself: `loader init` runs it over the models of an older
    version.
#}
{% macro make_functions() %}
    {% set functions_sql = provide_functions() ~ 'commit;' %}
    {% do run_query(functions_sql) %}
{% endmacro %}
