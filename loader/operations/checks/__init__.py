"""What `loader status` looks at: each check says what is wrong, since when, and what to do."""
