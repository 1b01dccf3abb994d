"""Running it for years: the schedule, its status, transform, prune and redrive."""
