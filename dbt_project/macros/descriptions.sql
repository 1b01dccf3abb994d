{#
    Descriptions are written down where they differ from those that are there:
    most runs change none, and each comment is a row of Postgres' own tables.
#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) %}
    {% if not answer_of(is_described_sql(relation, model)) %}
        {% do dbt.default__persist_docs(
            relation, model, for_relation, for_columns
        ) %}
    {% endif %}
{% endmacro %}


{# Whether a relation and its columns have the comments of their model. #}
{% macro is_described_sql(relation, model) %}
    select
        to_regclass('{{ relation.render() }}') is not null
        and not exists (
            select 1
            from json_each_text(
                {{ postgres_escape_comment(tojson(descriptions_of(model))) }}
            ) as wanted
            left join pg_attribute as columns
                on
                    wanted.key = columns.attname
                    and columns.attrelid
                    = to_regclass('{{ relation.render() }}')
            where
                wanted.value <> coalesce(
                    case
                        when wanted.key = '' then obj_description(
                            to_regclass('{{ relation.render() }}'), 'pg_class'
                        )
                        else col_description(columns.attrelid, columns.attnum)
                    end,
                    ''
                )
        ) as is_described
{% endmacro %}


{# The descriptions of a model's columns by their names; '' is its own. #}
{% macro descriptions_of(model) %}
    {% set descriptions = {'': model.description} %}
    {% for column in model.columns.values() %}
        {% do descriptions.update({column.name: column.description}) %}
    {% endfor %}
    {% do return(descriptions) %}
{% endmacro %}
