-- An alert whose threshold holds no more closes as unwatched from now on. The
-- version before left it open for ever where its book had no threshold left.
do $$
begin
    if to_regclass('marts.spread_alerts') is null
        or to_regclass('marts.book_thresholds') is null
    then
        return;
    end if;
    delete from marts.spread_alerts as known
    where
        known.closed_at is not null
        and not exists (
            select from marts.book_thresholds as watched
            where
                watched.book = known.book
                and watched.threshold_pct = known.threshold_pct
        );
    update marts.spread_alerts as known
    set
        closed_at = known.last_observed_at + interval '1 microsecond',
        close_reason = 'unwatched'
    where
        known.closed_at is null
        and not exists (
            select from marts.book_thresholds as watched
            where
                watched.book = known.book
                and watched.threshold_pct = known.threshold_pct
        );
end
$$;
