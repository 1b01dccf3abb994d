"""`python -m loader.operations.dbt_process ...`: dbt as it is typed, started faster.

Python's collector looks through all that dbt imports and reads again and again, and finds next to
nothing: a quarter of the seconds of a short run. The process ends before it would be missed.
mashumaro writes code for each class that it imports, though a run has a use for few of them. And
the project is only read, and checked, when it differs from what was read the last time.
"""

import gc
import sys
from typing import Any

from mashumaro.config import BaseConfig

gc.disable()
BaseConfig.lazy_compilation = True

from dbt.cli.main import dbtRunner, dbtRunnerResult  # noqa: E402 (after what it is to find)
from dbt.compilation import Linker  # noqa: E402
from dbt.contracts.graph.manifest import Manifest  # noqa: E402
from dbt_common.dataclass_schema import dbtClassMixin  # noqa: E402

from loader.operations import kept_project  # noqa: E402


def main(arguments: list[str]) -> int:
    """Run it; the exit code that it has when it is typed."""
    if "--vars" in arguments:
        # Given for once.
        return _exit_code(dbtRunner().invoke(arguments))
    wanted = kept_project.read_from()
    project = kept_project.load(wanted)
    if project is None:
        done = dbtRunner().invoke(["--log-level", "warn", "--no-use-colors", "parse"])
        if not isinstance(done.result, Manifest):
            return _exit_code(done)
        project = done.result
        # Where somebody has written a file meanwhile, nobody knows which of both was read.
        if kept_project.read_from() == wanted:
            kept_project.keep(project, wanted)
    else:
        _look_no_second_time()
    return _exit_code(dbtRunner(project).invoke(arguments))


def _look_no_second_time() -> None:
    """The very same project was valid when it was read, and its graph was summed up then.

    dbt has no option for it. To make the schemas that it validates by takes a tenth of a short run.
    """

    def is_valid(_: type[dbtClassMixin], __: Any) -> None:
        pass

    def no_summary(_: Linker, __: Manifest) -> dict[int, dict[str, Any]]:
        return {}

    dbtClassMixin.validate = classmethod(is_valid)  # type: ignore[assignment]
    Linker.get_graph_summary = no_summary  # type: ignore[assignment,method-assign]


def _exit_code(done: dbtRunnerResult) -> int:
    """1 where nodes failed, 2 where there was nothing to run them with."""
    if done.success:
        return 0
    return 2 if done.exception else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
