-- Multiplied, for a division would round.
select (ask - bid) * 100 > threshold_pct * ask as is_above
