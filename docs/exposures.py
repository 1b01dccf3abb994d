"""Write dbt's exposures, one a dashboard, from the dashboards' files (`make docs`)."""

import re
import sys
from pathlib import Path

import yaml

from dashboards.definitions import Dashboard, load_dashboards
from dashboards.questions import load_questions, tables_of
from loader.warehouse.settings import PROJECT_ROOT

HEADER = "# Written by `make docs` from dashboards/*.yml: change those.\n"
FUNCTIONS = PROJECT_ROOT / "dbt_project" / "functions"
_CALL = re.compile(r"\bmarts\.([a-z_]+)\(|\{\{ function\('([a-z_]+)'\) \}\}")
_REF = re.compile(r"\{\{ ref\('([a-z_]+)'\) \}\}")


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
    read = [
        tables_of(question) | _tables_of_functions(question.statement)
        for question in [*asked, *chosen]
    ]
    tables = sorted(set().union(*read))
    return {
        "name": dashboard.name.replace("-", "_"),
        "label": dashboard.title,
        "type": "dashboard",
        "maturity": "high",
        "description": dashboard.description,
        "depends_on": [f"ref('{table}')" for table in tables],
        "owner": {"name": "bitso-warehouse"},
    }


def _tables_of_functions(sql: str) -> set[str]:
    """The tables that the functions in some SQL read, themselves or through others."""
    tables = set()
    for names in _CALL.findall(sql):
        body = (FUNCTIONS / f"{''.join(names)}.sql").read_text()
        tables |= {*_REF.findall(body), *_tables_of_functions(body)}
    return tables


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(exposures())
