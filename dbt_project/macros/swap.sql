{#
    The statement that puts a new table or view, made beside the one before,
    in its place, so that nobody who reads is turned away.

    The views that read the old one are replaced where they stand: they keep
    ids, grants and comments. One that does not fit the new one, or is not ours
    to change, stays with the old one, which then stays too, under another
    name, until that view is made anew (drop_unread_backups).

    Who reads a view holds it first, then what it reads. So do we, from the
    outermost view inwards, and all within half a second: less than Postgres
    waits before it looks for a deadlock (1 s). What is not to be had by then
    is given back and tried again later: who reads for long delays the swap,
    and no other reader.

    One swap goes at a time: of two, one may wait for what the other holds,
    longer than half a second on a busy machine, and a reader between them would
    be the one that Postgres ends.
#}
{% macro swap_sql(target_relation, fresh_relation) %}
do $swap$
declare
    target_name constant text := '{{ target_relation.render() }}';
    fresh constant regclass := '{{ fresh_relation.render() }}';
    gives_up_at constant timestamptz := clock_timestamp()
        + interval '{{ var("swap_patience_seconds") }} seconds';
    pause double precision := 0.1;
    tried_until timestamptz;
    before regclass;
    views oid[];
    tables oid[];
    change text;
    views_anew text[];
begin
    -- so that names are printed with their schema
    perform set_config('search_path', '', true);
    loop
        begin
            perform pg_advisory_xact_lock(
                hashtextextended('bitso-warehouse:swap', 0)
            );
            before := to_regclass(target_name);
            views := {{ views_that_read_sql('before') }};
            tables := {{ tables_tied_to_sql('before') }};
            tried_until := clock_timestamp() + interval '0.5 s';
            foreach change in array {{ holding_sql('views || tables') }} loop
                perform set_config('lock_timeout', cast(greatest(1, floor(
                    1000 * extract(epoch from tried_until - clock_timestamp())
                )) as text), true);
                execute change;
            end loop;
            if to_regclass(target_name) is distinct from before then
                raise lock_not_available using message = 'swapped meanwhile';
            end if;

            views_anew := {{ views_anew_sql('views') }};
            foreach change in array
                {{ grants_sql('before', 'fresh') }}
                || {{ foreign_keys_off_sql('before') }}
                || {{ renames_sql('before', 'fresh', target_relation) }}
            loop
                execute change;
            end loop;
            foreach change in array views_anew loop
                begin
                    execute change;
                exception
                    when lock_not_available or deadlock_detected then
                        raise;
                    when others then
                        -- It does not fit: it stays with the old one.
                        null;
                end;
            end loop;
            if before is not null then
                begin
                    execute {{ drop_sql('before') }};
                exception when dependent_objects_still_exist then
                    null;
                end;
            end if;
            exit;
        exception
            when lock_not_available or deadlock_detected or undefined_table then
                if clock_timestamp() > gives_up_at then
                    raise lock_not_available using message = format(
                        '%s is held by others (processes %s) and stays '
                        'as it was: try again later',
                        target_name, {{ holders_sql('views || tables') }}
                    );
                end if;
        end;
        perform pg_sleep(pause * (0.5 + random()));
        pause := least(2 * pause, 5);
    end loop;
end $swap$;
{% endmacro %}
