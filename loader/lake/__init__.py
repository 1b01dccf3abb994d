"""Observations as files, a file a book and ten minutes: written, and read from old lakes."""

import os

# pyarrow's own allocators keep tens of MiB that nobody uses any more; it asks when it is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
