"""`python -m loader.operations.dbt_process ...`: dbt as it is typed, started faster.

Python's collector looks through all that dbt imports and reads again and again, and finds next to
nothing: a quarter of the seconds of a short run. The process ends before it would be missed.
"""

import gc

gc.disable()

from dbt.cli.main import cli  # noqa: E402 (the imports are the point)

if __name__ == "__main__":
    cli(prog_name="dbt")
