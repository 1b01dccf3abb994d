-- One rate budget for every process and container of the host: whether a call
-- may go out is settled here, in one row, by one clock.

create table ops.rate_budgets (
    budget text primary key,
    -- when the latest calls were let go, oldest first
    calls timestamptz[] not null default '{}',
    frozen_until timestamptz not null default '-infinity',
    -- how many freezes in a row
    freezes integer not null default 0
);

comment on table ops.rate_budgets is
'Calls let go lately to each source, and until when none may go';

-- Takes a call out of a budget of so many in any so many seconds. Returns the
-- seconds until it is worth asking again; 0: it is taken.
create function ops.take_call(
    budget text, most integer, period_seconds double precision
) returns double precision
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    state ops.rate_budgets;
    period interval := make_interval(secs => period_seconds);
    moment timestamptz;
    recent timestamptz [];
begin
    insert into ops.rate_budgets (budget) values (take_call.budget)
    on conflict do nothing;
    select * into state from ops.rate_budgets
    where rate_budgets.budget = take_call.budget
    for update;
    -- after the lock, for who waited longest must not be stamped earliest
    moment := clock_timestamp();
    if moment < state.frozen_until then
        return extract(epoch from state.frozen_until - moment);
    end if;
    -- least: a clock set back must not hold calls up for the difference
    recent := array(
        select least(call, moment) from unnest(state.calls) as call
        where call > moment - period
        order by call
    );
    if cardinality(recent) >= most then
        return greatest(0.001, extract(
            epoch from recent[cardinality(recent) - most + 1] + period - moment
        ));
    end if;
    update ops.rate_budgets set calls = recent || moment
    where rate_budgets.budget = take_call.budget;
    return 0;
end
$$;

-- Lets nobody call for a while, twice as long each time in a row; who kept
-- calm for ten times the first length starts anew. Returns the seconds left.
create function ops.freeze_calls(
    budget text,
    at_least_seconds double precision,
    first_seconds double precision,
    ceiling_seconds double precision
) returns double precision
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    state ops.rate_budgets;
    moment timestamptz;
    strikes integer;
    seconds double precision;
begin
    insert into ops.rate_budgets (budget) values (freeze_calls.budget)
    on conflict do nothing;
    select * into state from ops.rate_budgets
    where rate_budgets.budget = freeze_calls.budget
    for update;
    moment := clock_timestamp();
    if moment < state.frozen_until then
        -- the answer to a call that was under way when the freeze began: no new
        -- offence
        strikes := state.freezes;
        seconds := greatest(
            extract(epoch from state.frozen_until - moment), at_least_seconds
        );
    else
        strikes := 1 + case
            when moment > state.frozen_until + make_interval(secs => 10 * first_seconds)
                then 0
            else state.freezes
        end;
        seconds := greatest(
            least(first_seconds * 2 ^ least(strikes - 1, 20), ceiling_seconds),
            at_least_seconds
        );
    end if;
    update ops.rate_budgets set
        frozen_until = moment + make_interval(secs => seconds),
        freezes = strikes
    where rate_budgets.budget = freeze_calls.budget;
    return seconds;
end
$$;

-- Only the loader may call them (privileges.csv).
revoke all on all functions in schema ops from public;
