"""The tests, and the stand-ins for what they cannot reach."""
