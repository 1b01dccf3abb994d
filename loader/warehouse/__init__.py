"""What everything stands on, and nothing of a market: settings, errors, text, time, Postgres."""
