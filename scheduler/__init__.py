"""Cron's side of the warehouse: one run of a job, what is due at the start, and the health check.

Only what runs inside the scheduler's container; what the jobs do is in `loader`.
"""
