{#
    Warns of thresholds for books that nobody knows, which never fire: most
    likely a name is mistyped. No more than that, for a book may be listed
    tomorrow. Where no book is known yet, nothing is said.
#}
{% macro warn_of_unknown_books() %}
    {% if execute and flags.WHICH in ('build', 'run') %}
        {% set thresholds = adapter.get_relation(
            target.database, 'reference', 'spread_thresholds'
        ) %}
        {% set books = adapter.get_relation(
            target.database, 'target', 'books'
        ) %}
        {% set names = adapter.get_relation(
            target.database, 'marts', 'book_names'
        ) %}
        {% if thresholds and books and names %}
            {% set unknown = run_query(
                unknown_books_sql(thresholds, books, names)
            ) %}
            {% for row in unknown.rows %}
                {% do warn(
                    'seeds/reference/spread_thresholds.csv: ' ~ row['book']
                    ~ ' is no book that is known, and no alert of it opens'
                    ~ (': did you mean ' ~ row['nearest'] ~ '?'
                        if row['nearest'] else '')
                ) %}
            {% endfor %}
        {% endif %}
    {% endif %}
{% endmacro %}


{# Each, with the known name that shares most pairs of letters with it. #}
{% macro unknown_books_sql(thresholds, books, names) %}
    select
        unknown.book,
        (
            select names.book_name
            from {{ names }} as names
            cross join lateral (
                select count(*) as shared
                from ({{ pairs_of('names.book_name') }}) as known
                inner join ({{ pairs_of('unknown.book') }}) as asked
                    on known.pair = asked.pair
            ) as pairs
            where
                4 * pairs.shared
                >= length(names.book_name) + length(unknown.book) - 2
            order by
                2.0 * pairs.shared
                / (length(names.book_name) + length(unknown.book)) desc,
                names.book_name asc
            limit 1
        ) as nearest
    from (
        select distinct lower(thresholds.book) as book
        from {{ thresholds }} as thresholds
    ) as unknown
    where
        unknown.book <> '*'
        and unknown.book not in (select names.book_name from {{ names }} as names)
        and exists (select from {{ books }})
    order by unknown.book
{% endmacro %}


{% macro pairs_of(name) -%}
    select distinct substr({{ name }}, place, 2) as pair
    from generate_series(1, length({{ name }}) - 1) as place
{%- endmacro %}
