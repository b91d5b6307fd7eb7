"""Counts the tries of each row of the fault matrix, and shows them as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.runs.run import Run
from tests.faults.matrix import FULL, ROWS
from tests.faults.nursery import Nursery, nursery
from tests.preloaded import Preloaded
from tests.trainings import undisturbed


@pytest.fixture(autouse=True)
def row(request: pytest.FixtureRequest) -> None:
    """Notes the row that a test belongs to: every test here has one."""
    (marker,) = request.node.iter_markers("row")
    (number,) = marker.args
    assert number in ROWS
    request.node.user_properties.append(("row", number))


@pytest.fixture
def count_tries(request: pytest.FixtureRequest) -> Callable[[int], None]:
    """For a test that is more than one try: tells how many it was."""
    return lambda number: request.node.user_properties.append(("tries", number))


@pytest.fixture(scope="session")
def shared_nursery(forked: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(forked, tmp_path_factory.mktemp("nursery")) as made:
        yield made


@pytest.fixture(scope="session")
def uninterrupted(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`long_run`, never disturbed. Compare with it, do not change it."""
    return undisturbed(tiny_home, tmp_path_factory.mktemp("quiet"))


@dataclass
class Line:
    tries: int = 0
    survived: int = 0
    skipped: int = 0
    seconds: float = 0.0


def counted(stats: dict[str, list[Any]]) -> dict[int | str, Line]:
    """The tries of each row, from the reports of its tests."""
    lines = {number: Line() for number in ROWS}
    seen: dict[str, tuple[int | str, int, str]] = {}
    for outcome in ("passed", "skipped", "failed", "error"):  # the last one that a test has counts
        for report in stats.get(outcome, []):
            properties = dict(report.user_properties)
            if "row" in properties:
                lines[properties["row"]].seconds += report.duration
                seen[report.nodeid] = properties["row"], properties.get("tries", 1), outcome
    for number, tries, outcome in seen.values():
        lines[number].tries += 0 if outcome == "skipped" else tries
        lines[number].survived += tries if outcome == "passed" else 0
        lines[number].skipped += outcome == "skipped"
    return lines


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = counted(terminalreporter.stats)
    if not any(line.tries for line in lines.values()):
        return
    write = terminalreporter.write_line
    write("")
    write("| row | fault | tries | survived | seconds |")
    write("|---|---|---|---|---|")
    for number, (fault, full) in ROWS.items():
        line = lines[number]
        if not (FULL or line.tries or line.skipped):
            continue
        missing = f" of {full}" if line.tries < full else ""
        skipped = f", {line.skipped} skipped" if line.skipped else ""
        write(f"| {number} | {fault} | {line.tries}{missing}{skipped} | {line.survived} | {line.seconds:.0f} |")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In full a row with fewer tries than it names is a failure, too."""
    if not FULL or hasattr(session.config, "workerinput") or session.exitstatus != pytest.ExitCode.OK:
        return
    lines = counted(session.config.pluginmanager.get_plugin("terminalreporter").stats)
    if any(lines[number].survived < full for number, (_, full) in ROWS.items()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
