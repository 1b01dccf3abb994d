"""Tells people: alerts that opened or closed, once to each address, and the hourly report."""
