"""Shows what the warehouse knows: questions in, answers out."""
