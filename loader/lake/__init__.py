"""Observations as files, a file a book and ten minutes: written, and read from old lakes."""
