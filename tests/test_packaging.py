"""What is installed beside the program: the versions that the tests ran with."""

from __future__ import annotations

import importlib.metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_docs import ROOT


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """The installed packages that a package needs, with those of its extras, and theirs in turn."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return set()  # of an extra that is not installed
    found = {canonicalize_name(name)}
    for line in distribution.requires or ():
        requirement = Requirement(line)
        markers = [{"extra": extra} for extra in (extras or frozenset({""}))]
        if requirement.marker is not None and not any(map(requirement.marker.evaluate, markers)):
            continue
        key = requirement.name, frozenset(requirement.extras)
        if key not in seen:
            seen.add(key)
            found |= needed(*key, seen)
    return found


def test_every_package_that_the_program_and_its_tests_need_has_a_pin() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    extras = importlib.metadata.metadata("seqvae").get_all("Provides-Extra") or []
    found = needed("seqvae", frozenset(extras), set()) - {"seqvae", "setuptools"}
    assert {"torch", "pytest"} <= found
    assert found <= pinned, f"without a pin: {', '.join(sorted(found - pinned))}"
