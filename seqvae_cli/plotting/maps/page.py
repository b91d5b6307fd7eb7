"""A map as one HTML page: nothing is loaded from anywhere, and text is never HTML.

The page has a policy that allows its own script and style alone, by their SHA-256; its data are JSON that no browser
runs, and the script writes every text as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import Any

import numpy as np

from seqvae_cli.data.labels import LENGTH
from seqvae_cli.errors import counted
from seqvae_cli.plotting.maps.map import Map
from seqvae_cli.plotting.maps.methods import METHODS
from seqvae_cli.plotting.projection import Means

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def page(name: str, found: Map) -> bytes:
    """The page of the map of the run `name`, UTF-8; equal maps give equal bytes."""
    template, style, script = (_part(f"page.{kind}") for kind in ("html", "css", "js"))
    parts = {
        "title": html.escape(_shown(name)),
        "style": style,
        "script": script,
        "data": _json(_data(name, found)),
        "policy": f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none'",
    }
    return _PLACE.sub(lambda match: parts[match[1]], template).encode()


def _part(name: str) -> str:
    return files("seqvae_cli.plotting.maps").joinpath(name).read_text(encoding="utf-8").strip()


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON in which no `<`, `>` or `&` could end the element that holds it, in ASCII."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _shown(text: str) -> str:
    """The text in one line; characters that steer a terminal or turn the direction of other text are replaced."""
    return _CONTROL.sub("\ufffd", " ".join(text.split()))


def _data(name: str, found: Map) -> dict[str, Any]:
    count, of = len(found.sentences), _shown(found.source)
    share = f"{count:,} of " if found.total > count else ""
    about = f"{share}{counted(max(count, found.total), 'sentence')}{f' of {of}' if of else ''}"
    return {
        "title": _shown(name),
        "about": f"posterior means by {METHODS[found.method].title}: {about}",
        "color": found.colors().index(found.color),
        "colors": [_coloring(color, found.coloured(color)) for color in found.colors()],
        "points": [[float(f"{value:.4g}") for value in point] for point in found.points.tolist()],
        "sentences": [_shown(text) for text in found.sentences],
    }


def _coloring(color: str, means: Means) -> dict[str, Any]:
    """A colouring: values with a colour each and the value of each sentence, or a number of each sentence."""
    title = "length (tokens)" if color == LENGTH else _shown(color)
    if means.values:
        values = [_shown(value) for value in means.values]
        return {"title": title, "values": values, "palette": means.palette, "of": means.labels.tolist()}
    sizes = [float(f"{size:.6g}") if np.isfinite(size) else None for size in means.labels.tolist()]
    low, high = np.nanquantile(means.labels, [0.01, 0.99]).tolist()  # as in the picture: outliers leave the scale
    return {"title": title, "low": low, "high": high if high > low else low + 1, "of": sizes}
