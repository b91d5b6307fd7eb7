"""Neighbourhood maps: places of codes in the plane by t-SNE, computed in the background and kept with the run.

Shapes: N codes shown, M other codes, L latent dimensions.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.errors import MachineError, SeqvaeError
from seqvae_cli.plotting.linear import Linear
from seqvae_cli.plotting.maps import methods
from seqvae_cli.system import files

FOLDER = "maps"
"""Folder in that of a run: neighbourhood maps, a file for each content."""
NEAREST = 4
"""Shown codes that place another code on a neighbourhood map."""
MOST_HELD = 16
"""Neighbourhood maps that stay in memory."""
MOST_KEPT = 16
"""Neighbourhood maps that stay in the folder of a run: a training has others after each epoch."""
WANTED = 5.0
"""Seconds after which a map that waits is wanted no more; who wants it asks more often."""
FEWEST = 8
"""Codes of a neighbourhood map, at least."""

Codes = NDArray[np.float32]
Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Neighbourhood:
    """A map that has a place for the shown codes alone; others lie between the nearest of them."""

    codes: Codes
    """[N, L]."""
    places: Plane
    """[N, 2]."""

    def place(self, codes: Codes) -> Plane:
        """[M, L] -> [M, 2]: the mean of the nearest shown codes' places, weighted by 1 / distance²."""
        found = np.empty((len(codes), 2))
        for row, code in enumerate(codes):
            squares = np.square(self.codes - code).sum(1)
            near = np.argsort(squares, kind="stable")[:NEAREST]
            weights = 1 / (squares[near] + 1e-9)
            found[row] = weights @ self.places[near] / weights.sum()
        return found


Layout = Linear | Neighbourhood


def neighbourhood(codes: Codes) -> Plane:
    """t-SNE, as `seqvae map` has it: [N, L] -> [N, 2]. Raises `MachineError` where scikit-learn is missing."""
    return methods.place("tsne", codes.astype(np.float64))


@dataclass
class Wanted:
    """A map that waits to be computed, or is being computed."""

    path: Path
    codes: Codes
    asked: float
    """When it was last asked for."""


class Background:
    """Computes neighbourhood maps in a thread of its own, one at a time, and keeps each with its run."""

    def __init__(self, compute: Callable[[Codes], Plane] = neighbourhood) -> None:
        self._compute = compute
        self._made: dict[str, Neighbourhood | SeqvaeError] = {}
        self._wanted: dict[str, Wanted] = {}
        self._turn = threading.Lock()
        """Whoever holds it may change `_made` and `_wanted`."""

    def find(self, folder: Path, codes: Codes) -> Neighbourhood | None:
        """The map of codes [N, L]: None while it is computed, which the first call begins.

        `folder`: that of the run, where a map is kept under the digest of its codes. Raises what computing it raised,
        `MachineError` for too few codes.
        """
        if len(codes) < FEWEST:
            raise MachineError(f"{len(codes)} sentences have no neighbourhood map", f"it takes at least {FEWEST}")
        key = hashlib.sha256(np.ascontiguousarray(codes).tobytes() + str(codes.shape).encode()).hexdigest()[:24]
        path = folder / FOLDER / f"tsne-{key}.npy"
        with self._turn:
            if key in self._wanted:
                self._wanted[key].asked = time.monotonic()
                return None
            if key not in self._made:
                kept = _read(path, len(codes))
                if kept is None:
                    self._want(key, Wanted(path, codes, time.monotonic()))
                    return None
                self._hold(key, Neighbourhood(codes, kept))
            found = self._made[key]
            if isinstance(found, SeqvaeError):
                del self._made[key]  # the next call tries again
                raise found
            return found

    def _want(self, key: str, wanted: Wanted) -> None:
        idle = not self._wanted
        self._wanted[key] = wanted
        if idle:
            threading.Thread(target=self._work, args=(key, wanted), name="seqvae-map", daemon=True).start()

    def _hold(self, key: str, found: Neighbourhood | SeqvaeError) -> None:
        """Drops the oldest maps beyond `MOST_HELD`, which the folders of their runs may still have."""
        self._made[key] = found
        for old in list(self._made)[: max(0, len(self._made) - MOST_HELD)]:
            del self._made[old]

    def _work(self, key: str, wanted: Wanted) -> None:
        """Computes this map, then those that are still wanted."""
        while True:
            found = self._map(wanted)
            with self._turn:
                del self._wanted[key]
                self._hold(key, found)
                oldest = time.monotonic() - WANTED
                self._wanted = {name: one for name, one in self._wanted.items() if one.asked >= oldest}
                if not self._wanted:
                    return
                key, wanted = next(iter(self._wanted.items()))

    def _map(self, wanted: Wanted) -> Neighbourhood | SeqvaeError:
        try:
            places = self._compute(wanted.codes)
        except SeqvaeError as error:
            return error
        except Exception as error:  # whatever the library raises: the map stays away, and the page says why
            return MachineError(f"the neighbourhood map failed: {error}")
        _keep(wanted.path, places)
        return Neighbourhood(wanted.codes, places)


def _read(path: Path, count: int) -> Plane | None:
    """A kept map of `count` places; None where there is none, or it is damaged."""
    try:
        if not path.is_file() or path.stat().st_size > 1 << 20:
            return None
        places = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = places.shape == (count, 2) and places.dtype == np.float32 and bool(np.isfinite(places).all())
    return places.astype(np.float64) if whole else None


def _keep(path: Path, places: Plane) -> None:
    """Keeps a map with its run; where that cannot be written it lasts as long as the server."""
    data = io.BytesIO()
    np.save(data, places.astype(np.float32))
    try:
        with files.machine_errors(path):
            path.parent.mkdir(exist_ok=True)  # not its parents: a removed run must not come back in parts
        files.write(path, data.getvalue())
        for old in sorted(path.parent.glob("tsne-*.npy"), key=_age)[MOST_KEPT:]:
            old.unlink()
    except (MachineError, OSError):
        return


def _age(path: Path) -> float:
    return -path.stat().st_mtime
