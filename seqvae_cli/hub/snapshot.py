"""A commit of a repository of the hub: its files with their sizes, loaded one by one and never beyond these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import DataError
from seqvae_cli.hub import layout
from seqvae_cli.hub.layout import Listing

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class Snapshot:
    """The newest commit of `main`, or of `revision`: a branch, a tag, or a commit."""

    def __init__(self, api: HfApi, repository: str, revision: str | None = None) -> None:
        found = api.model_info(repository, revision=revision, files_metadata=True)
        self.repository, self.commit = repository, str(found.sha)
        self.private = bool(found.private)
        self.licence = str((found.card_data or {}).get("license") or "")
        self.sizes = {sibling.rfilename: sibling.size or 0 for sibling in found.siblings or []}
        """Bytes by path."""
        self._api = api

    def listing(self, folder: str | Path) -> Listing:
        """What config.json lists, which is loaded into `folder`. Raises `DataError` where it is missing or not ours."""
        size = self.sizes.get(layout.CONFIG)
        if size is None:
            raise DataError(f"{self.repository} is not a run: it has no {layout.CONFIG}")
        if size > layout.MAX_CONFIG:
            raise DataError(f"{self.repository} is not a run: its {layout.CONFIG} has {size} bytes")
        return layout.read(self.load(layout.CONFIG, folder).read_bytes(), self.repository)

    def load(self, path: str, folder: str | Path) -> Path:
        """Loads a file into `folder`. Raises `DataError` where more comes than its size."""
        bound = _bound(path, self.sizes[path])
        return Path(
            self._api.hf_hub_download(self.repository, path, revision=self.commit, local_dir=folder, tqdm_class=bound)
        )


def _bound(path: str, size: int) -> type[Any]:
    """A bar that shows nothing, and ends a transfer of more than `size` bytes."""
    from huggingface_hub.utils import tqdm

    class Bound(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})
            self.come = 0.0

        def update(self, n: float | None = 1) -> None:
            self.come += n or 0
            if self.come > size:
                raise DataError(f"{path} is longer than the {size} bytes that the hub tells")

    return Bound
