"""Draw the diagram of `target` from the dbt project: `python docs/erd.py FILE` (`make docs`).

dbterd reads the relationships tests, which are the foreign keys. No database is asked, but dbt
wants a profile: the one that `loader init` wrote, or that of DBT_PROFILES_DIR.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
BIN = Path(sys.executable).parent
HEADER = """\
# The tables of `target`

Drawn by `make docs` from the relationships tests of the dbt project, which are the foreign keys.

"""


def draw() -> str:
    """The page: a heading and the diagram in Mermaid."""
    with tempfile.TemporaryDirectory() as scratch:
        dbt = (BIN / "dbt", "--quiet", "--log-path", scratch)
        to_scratch = ("--target-path", scratch)
        _run(*dbt, "parse", *to_scratch)
        _run(*dbt, "docs", "generate", "--no-compile", "--empty-catalog", *to_scratch)
        _run(
            BIN / "dbterd", "run", "-ad", scratch, "-o", scratch, "-ofn", "erd.mmd",
            "-t", "mermaid", "-enf", "table", "-s", "schema:target",
        )  # fmt: skip
        diagram = (Path(scratch) / "erd.mmd").read_text()
    # Mermaid's grammar has no word for the precision of a type.
    diagram = re.sub(r"\([0-9,-]*\)", "", diagram)
    return f"{HEADER}```mermaid\n{diagram}```\n"


def _run(*command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw())
