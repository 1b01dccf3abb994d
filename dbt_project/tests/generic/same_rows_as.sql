{% test same_rows_as(model, source_model) %}
    with

    row_counts as (

        select
            (select count(*) from {{ model }}) as rows_here,
            (select count(*) from {{ source_model }}) as rows_there

    )

    select * from row_counts
    where rows_here <> rows_there
{% endtest %}
