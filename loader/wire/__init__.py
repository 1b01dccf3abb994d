"""How to ask a server politely, and how to read what it answers without losing a digit."""
