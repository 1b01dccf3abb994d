{#
    How imported quotes find their book when its other names change: `quotes`
    remembers those that it was built with. Of the books whose names have
    changed, what raw still holds of their lakes is read once more, and all that
    is made of these quotes is made again. Quotes whose raw rows have been
    dropped keep the name that they have.
#}

{#
    A select of the names that stand for another book now: book_name,
    old_book, new_book. A name that is no alias stands for itself.
#}
{% macro changed_aliases() -%}
    select
        coalesce(aliases.alias, known.book_name) as book_name,
        coalesce(known.book, aliases.alias) as old_book,
        coalesce(aliases.book, known.book_name) as new_book
    from {{ ref('book_aliases') }} as aliases
    full outer join {{ ref('stg_pipeline__aliases_taken_in') }} as known
        on aliases.alias = known.book_name
    where aliases.book is distinct from known.book
{%- endmacro %}


{# Whether there are any for a table that has rows already. #}
{% macro has_changed_aliases() %}
    {% do return(
        execute and is_incremental()
        and run_query(changed_aliases()) | length > 0
    ) %}
{% endmacro %}


{# The books that they stood for, and those that they stand for now. #}
{% macro renamed_books() -%}
    array(
        select changed.old_book
        from ({{ changed_aliases() }}) as changed
        union distinct
        select changed.new_book
        from ({{ changed_aliases() }}) as changed
    )
{%- endmacro %}


{#
    Pre-hook of quotes: those of these books that a lake brought, whatever name
    it had for them. They are received again, and ranked with what is left.
#}
{% macro forget_renamed_quotes() %}
    {% if has_changed_aliases() %}
        delete from {{ this }} as known
        using {{ ref('stg_lake__spread_observations') }} as observations
        left join {{ ref('stg_pipeline__aliases_taken_in') }} as aliases
            on observations.book = aliases.book_name
        where
            known.feed = 'lake'
            and known.book = any({{ renamed_books() }})
            and known.book = coalesce(aliases.book, observations.book)
            and known.quoted_at = observations.received_at
            and known.bid = round(observations.bid, 18)
            and known.ask = round(observations.ask, 18)
    {% endif %}
{% endmacro %}


{#
    Post-hook of quotes: what is made of such books is made again. A book that
    was only a name of another one is none any more; its alerts count as those
    of a threshold that is gone (thresholds.sql), with none in a row.
#}
{% macro forget_renamed_books() -%}
    delete from {{ ref('books') }} as books
    where
        books.book = any({{ renamed_books() }})
        and books.first_seen is null
        and not exists (
            select 1
            from {{ this }} as quotes
            where quotes.book = books.book
        );

    delete from {{ ref('stg_pipeline__thresholds_taken_in') }} as known
    using {{ ref('books') }} as books
    where
        known.model_name = 'spread_hourly'
        and known.book = any({{ renamed_books() }})
        and known.book = books.book;

    update {{ ref('stg_pipeline__thresholds_taken_in') }} as known
    set min_observations = null
    where
        known.model_name = 'spread_alerts'
        and known.book = any({{ renamed_books() }})
{%- endmacro %}


{# Post-hook of quotes, after it: the aliases that it has been built with. #}
{% macro remember_aliases() -%}
    delete from {{ ref('stg_pipeline__aliases_taken_in') }} as known
    where
        not exists (
            select 1
            from {{ ref('book_aliases') }} as aliases
            where aliases.alias = known.book_name
        );

    insert into {{ ref('stg_pipeline__aliases_taken_in') }} as known
    (book_name, book)
    select
        aliases.alias,
        aliases.book
    from {{ ref('book_aliases') }} as aliases
    on conflict (book_name) do update set book = excluded.book
    where known.book is distinct from excluded.book
{%- endmacro %}
