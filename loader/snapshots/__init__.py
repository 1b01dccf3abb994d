"""The five snapshot files (deposits, withdrawals, events, users, user levels): read and loaded."""
