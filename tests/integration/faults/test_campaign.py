"""A minute of the campaign (`make faults`), and no cell of it unexplained."""

from tests.conftest import Server
from tests.faults.cases import Case
from tests.faults.place import World, end_all
from tests.faults.run import Campaign
from tests.faults.surfaces import SURFACES, all_cases, part_for_ci

# Threads of one test each wait for a process most of the time.
JOBS = 3


def test_every_cell_has_a_case_or_a_reason() -> None:
    assert [cell for surface in SURFACES for cell in surface.unexplained()] == []


def test_cases_have_names_of_their_own() -> None:
    names = [case.id for case in all_cases()]
    assert len(names) == len(set(names)) > 400


def test_nothing_from_outside_ends_hangs_floods_or_misleads(server: Server) -> None:
    # Without the models: making them takes longer than all of this.
    campaign = Campaign(World(server, lambda: "migrated"), SURFACES)
    try:
        verdicts = campaign.run(part_for_ci(), JOBS, lambda _: None)
    finally:
        end_all()
    problems = [f"{each.case.id}: {each.problem}" for each in verdicts if each.problem]
    assert not problems, "\n".join(problems)


def test_what_does_not_survive_is_told(server: Server) -> None:
    wrong = Case("setting", "shape", "a book that is none", {"WAREHOUSE_BOOKS": "x"})
    [verdict] = Campaign(World(server), SURFACES).run([wrong], 1, lambda _: None)
    assert verdict.problem.startswith("exit 2, not (0,): loader: WAREHOUSE_BOOKS")
