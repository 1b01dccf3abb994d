"""Runs cases side by side, each to its end, and says what became of them."""

import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

from tests.faults.cases import KINDS, Case, Surface
from tests.faults.place import World, end_all


class Verdict(NamedTuple):
    """What became of a case: nothing to say, or in one line why it was not survived."""

    case: Case
    problem: str = ""


class Campaign:
    """The surfaces, and what each thread keeps open from one case to the next."""

    def __init__(self, world: World, surfaces: Sequence[Surface]) -> None:
        self._world = world
        self._surfaces = {surface.name: surface for surface in surfaces}
        self._kept = threading.local()
        self._all_kept: list[dict[str, tuple[ExitStack, Any]]] = []

    def run(
        self, cases: Sequence[Case], jobs: int, tell: Callable[[Verdict], None]
    ) -> list[Verdict]:
        """Try cases, so many at a time; each verdict is told as it comes."""

        def judged(case: Case) -> Verdict:
            verdict = Verdict(case, self._problem_of(case))
            tell(verdict)
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            try:
                verdicts = list(pool.map(judged, cases))
            except BaseException:
                end_all()
                raise
        for kept in self._all_kept:
            for name, (stack, _) in kept.items():
                if problem := _problem(stack.close):
                    case = Case(name, "lost", "the end of what its cases shared", None)
                    verdicts.append(Verdict(case, problem))
        return verdicts

    def _problem_of(self, case: Case) -> str:
        surface = self._surfaces[case.surface]
        if surface.keeps is None:

            def bring() -> None:
                with self._world.place(surface.template) as place:
                    surface.bring(place, case)

            return _problem(bring)
        kept = self._of_this_thread()
        problem = _problem(lambda: surface.bring(self._shared(surface, kept), case))
        if problem and surface.name in kept:
            # What is broken is no place for the next case.
            _problem(kept.pop(surface.name)[0].close)
        return problem

    def _of_this_thread(self) -> dict[str, tuple[ExitStack, Any]]:
        if not hasattr(self._kept, "things"):
            self._kept.things = {}
            self._all_kept.append(self._kept.things)
        things: dict[str, tuple[ExitStack, Any]] = self._kept.things
        return things

    def _shared(self, surface: Surface, kept: dict[str, tuple[ExitStack, Any]]) -> Any:
        assert surface.keeps
        if surface.name not in kept:
            stack = ExitStack()
            kept[surface.name] = (stack, stack.enter_context(surface.keeps(self._world)))
        return kept[surface.name][1]


def _problem(work: Callable[[], None]) -> str:
    try:
        work()
    except AssertionError as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return " ".join(str(error).split())[:400] or f"{where.name}: not {where.line}"
    except Exception as error:  # noqa: BLE001 (a fault of the campaign itself is told like one)
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.name}:{where.lineno})"[:400]
    return ""


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """Tried and survived, by kind."""
    lines = [f"{'kind':<14} {'tried':>6} {'survived':>9}"]
    for kind in (*KINDS, ""):
        of_kind = [each for each in verdicts if kind in ("", each.case.kind)]
        survived = sum(not each.problem for each in of_kind)
        lines.append(f"{kind or 'all':<14} {len(of_kind):>6} {survived:>9}")
    return lines
