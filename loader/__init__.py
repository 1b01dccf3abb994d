"""Brings data into the warehouse: wire or file -> raw records -> Postgres."""
