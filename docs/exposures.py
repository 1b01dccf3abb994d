"""Write dbt's exposures, one a dashboard, from the dashboards' files (`make docs`)."""

import sys
from pathlib import Path

import yaml

from dashboards.definitions import Dashboard, load_dashboards
from dashboards.questions import load_questions, tables_of

HEADER = "# Written by `make docs` from dashboards/*.yml: change those.\n"


def exposures() -> str:
    """The file: which marts each dashboard reads."""
    made = [_exposure(dashboard) for dashboard in load_dashboards().values()]
    return HEADER + yaml.safe_dump(
        {"version": 2, "exposures": made}, sort_keys=False, width=80, allow_unicode=True
    )


def _exposure(dashboard: Dashboard) -> dict[str, object]:
    asked = [load_questions()[tile.question] for tile in dashboard.tiles if tile.question]
    chosen = [
        load_questions()[each.values.question] for each in dashboard.filters.values() if each.values
    ]
    tables = sorted(set().union(*map(tables_of, [*asked, *chosen])))
    return {
        "name": dashboard.name.replace("-", "_"),
        "label": dashboard.title,
        "type": "dashboard",
        "maturity": "high",
        "description": dashboard.description,
        "depends_on": [f"ref('{table}')" for table in tables],
        "owner": {"name": "bitso-warehouse"},
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(exposures())
