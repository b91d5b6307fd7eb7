"""Neighbourhood maps: places of codes in the plane by t-SNE, computed in the background and kept with the run.

Shapes: N codes shown, M other codes, L latent dimensions.
"""

from __future__ import annotations

import hashlib
import io
import threading
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


class Background:
    """Computes neighbourhood maps in a thread of its own, one at a time, and keeps each with its run."""

    def __init__(self, compute: Callable[[Codes], Plane] = neighbourhood) -> None:
        self._compute = compute
        self._made: dict[str, Neighbourhood | SeqvaeError | None] = {}
        self._turn = threading.Lock()

    def find(self, folder: Path, codes: Codes) -> Neighbourhood | None:
        """The map of codes [N, L]: None while it is computed, which the first call begins.

        `folder`: that of the run, where a map is kept under the digest of its codes. Raises what computing it raised,
        `MachineError` for too few codes.
        """
        if len(codes) < FEWEST:
            raise MachineError(f"{len(codes)} sentences have no neighbourhood map", f"it takes at least {FEWEST}")
        key = hashlib.sha256(np.ascontiguousarray(codes).tobytes() + str(codes.shape).encode()).hexdigest()[:24]
        if key not in self._made:
            path = folder / FOLDER / f"tsne-{key}.npy"
            kept = _read(path, len(codes))
            self._made[key] = None if kept is None else Neighbourhood(codes, kept)
            if kept is None:
                threading.Thread(target=self._make, args=(key, path, codes), name="seqvae-map", daemon=True).start()
            self._forget()
        found = self._made[key]
        if isinstance(found, SeqvaeError):
            del self._made[key]  # the next call tries again
            raise found
        return found

    def _forget(self) -> None:
        """Drops the oldest maps beyond `MOST_HELD`, which the folders of their runs still have."""
        done = [key for key, found in self._made.items() if found is not None]
        for key in done[: max(0, len(done) - MOST_HELD)]:
            del self._made[key]

    def _make(self, key: str, path: Path, codes: Codes) -> None:
        with self._turn:
            try:
                places = self._compute(codes)
            except SeqvaeError as error:
                self._made[key] = error
                return
            except Exception as error:  # whatever the library raises: the map stays away, and the page says why
                self._made[key] = MachineError(f"the neighbourhood map failed: {error}")
                return
        _keep(path, places)
        self._made[key] = Neighbourhood(codes, places)


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
    except MachineError:
        return
