"""What the site has beside docs/: pages of other folders (`extra.places` of mkdocs.yml), and links to them.

A hook of MkDocs, named in mkdocs.yml.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    for source, place in config.extra["places"].items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """The page with its links, which are those of the repository, as links between places on the site."""
    places, at = config.extra["places"], page.file.src_uri
    source = next((source for source, place in places.items() if place == at), f"docs/{at}")

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return posixpath.relpath(places.get(target) or target.removeprefix("docs/"), posixpath.dirname(at) or ".")

    return LINK.sub(moved, markdown)
