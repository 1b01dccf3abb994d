"""The crontab against the commands, the schedule and what may be late."""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import click
import pytest
from cronsim import CronSim

from loader.cli.main import main
from loader.lake import reading
from loader.market.rows import FEEDS
from loader.operations.schedule import SCHEDULE
from loader.snapshots.grammar import KINDS
from loader.stream import frames
from scheduler.entries import Entry, entries
from scheduler.files import CRONTAB
from scheduler.job import seconds

START = datetime(2026, 1, 1, tzinfo=UTC)
ENTRIES = list(entries())
named = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.command)


def firings(entry: Entry) -> list[datetime]:
    """Its next 300 times."""
    return list(islice(CronSim(entry.when, START), 300))


@named
def test_every_command_is_one_that_the_command_line_takes(entry: Entry) -> None:
    program, *arguments = entry.command.split()
    assert program == "loader"
    command: click.Command = main
    context = click.Context(main, **main.context_settings)
    while isinstance(command, click.Group):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found, name
        command = found
    # A command keeps its option for help, which it has from its parent.
    command.make_context("loader", arguments, context, resilient_parsing=False)


@named
def test_every_job_runs_as_often_and_as_long_as_the_schedule_says(entry: Entry) -> None:
    assert entry.job, "status does not know it"
    apart = {later - sooner for sooner, later in pairwise(firings(entry))}
    assert apart == {entry.job.period}
    assert timedelta(seconds=seconds(entry.deadline)) == entry.job.deadline


def test_every_job_of_the_schedule_is_run_by_cron_or_is_a_daemon() -> None:
    typed = [entry.command for entry in ENTRIES]
    assert sorted(typed) == sorted(f"loader {job.typed}" for job in SCHEDULE if job.deadline)
    assert {job.name for job in SCHEDULE if not job.deadline} == {"stream", "alerts"}


def test_what_any_source_has_set_aside_is_counted_by_one_job() -> None:
    counted = [name for job in SCHEDULE for name in (*job.tables, *job.set_aside_as)]
    assert sorted(counted) == sorted([*KINDS, *FEEDS, frames.SOURCE, reading.TABLE])


@named
def test_no_job_is_root(entry: Entry) -> None:
    assert entry.user == "jobs"


def test_models_come_after_loads_and_before_what_reads_them() -> None:
    """Within each ten minutes, and in the order of the file, which is that of the start."""
    order = [entry.command.removeprefix("loader ") for entry in ENTRIES]
    place = {entry.command.removeprefix("loader "): entry for entry in ENTRIES}
    minute = {name: firings(entry)[0].minute % 10 for name, entry in place.items()}
    for load in ("books", "tickers", "order-books", "exchange-volumes", "snapshots"):
        assert order.index(load) < order.index("transform")
    for load in ("tickers", "order-books", "snapshots"):
        assert minute[load] < minute["transform"]
    for reader in ("lake export", "report"):
        assert order.index("transform") < order.index(reader)
        assert minute["transform"] < minute[reader]


def test_nothing_in_the_file_is_left_out(tmp_path: Path) -> None:
    lines = [line for line in CRONTAB.read_text().splitlines() if line and line[0] != "#"]
    others = [line for line in lines if not re.search(r"\sjob\s", line)]
    assert len(lines) - len(others) == len(ENTRIES)
    assert others == [
        "SHELL=/bin/sh",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "* * * * *         jobs  touch /run/jobs/heartbeat",
    ]
    # cron takes no line without an end, and makes a line end of a %
    assert CRONTAB.read_text().endswith("\n")
    assert "%" not in CRONTAB.read_text()
    other = tmp_path / "crontab"
    other.write_text("7 1 * * 1  jobs\tjob  5m loader  lake export \n# 1 * * * * jobs job 1m x\n")
    assert list(entries(other)) == [Entry("7 1 * * 1", "jobs", "5m", "loader  lake export")]
