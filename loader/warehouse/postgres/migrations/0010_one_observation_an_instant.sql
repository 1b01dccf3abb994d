-- Of two quotes of a feed at one instant, only the widest is primary from now
-- on (the models' macro quotes_ranked). What is modelled already is told so
-- here; the models count its hours and alerts again because it has changed in
-- a cut that they have not taken in.
do $$
begin
    if to_regclass('target.quotes') is null then
        return;
    end if;
    update target.quotes as narrower
    set
        is_primary = false,
        changed_in = (
            select coalesce(max(cut), 0) + 1
            from staging.stg_pipeline__finished_runs
        )
    where
        is_primary
        and exists (
            select from target.quotes as wider
            where
                wider.book = narrower.book
                and wider.quoted_at = narrower.quoted_at
                and wider.feed = narrower.feed
                and wider.is_primary
                and (-wider.spread, wider.bid, wider.ask)
                < (-narrower.spread, narrower.bid, narrower.ask)
        );
end
$$;
