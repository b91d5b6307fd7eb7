"""The presets: settings in commented YAML, a file each in the folder `presets` beside this module.

The first line of a file is a comment that says in one sentence what the preset is for. Neither pydantic nor a YAML
parser is loaded to read names, purposes and texts.
"""

from __future__ import annotations

from pathlib import Path

from seqvae_cli.errors import UsageError, nearest

FOLDER = Path(__file__).parent / "presets"
FIRST = ("default", "large")
"""The presets that a list begins with; the rest follow by name."""


def names() -> list[str]:
    """The names of all presets: `FIRST`, then the rest by name."""
    found = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    return sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def text(name: str) -> str:
    """The YAML of a preset. Raises `UsageError` for an unknown one."""
    if name not in names():
        raise UsageError(f"no preset {name!r}", nearest(name, names()))
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def purpose(name: str) -> str:
    """What a preset is for, in one sentence. Raises `UsageError` for an unknown one."""
    return text(name).partition("\n")[0].removeprefix("# ")
