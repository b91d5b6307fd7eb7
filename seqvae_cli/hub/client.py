"""The client of the Hugging Face hub: huggingface_hub without telemetry and output of its own, its errors as ours."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOG_IN = "hf auth login, or set HF_TOKEN"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def check(repository: str) -> None:
    """Raises `UsageError` for what is not OWNER/NAME, `MachineError` where huggingface_hub is missing."""
    if not REPOSITORY.fullmatch(repository):
        raise UsageError(f"{repository!r:.120} is not a repository of the hub", "give OWNER/NAME, such as me/sentences")
    if find_spec("huggingface_hub") is None:
        raise MachineError("the hub needs the package huggingface_hub", 'pip install "seqvae[hub]"')


@contextmanager
def connected(repository: str, *, write: bool = False) -> Iterator[HfApi]:
    """The API of the hub, at `HF_ENDPOINT`, with the token that huggingface_hub finds, if any.

    write: whether it needs one. Raises `NotFoundError` where the hub has no such repository or revision, `UsageError`
    for what it does not accept, and `MachineError` where it cannot be reached or refuses.
    """
    import huggingface_hub

    api = huggingface_hub.HfApi(
        endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="seqvae", library_version=__version__
    )
    if write and not huggingface_hub.get_token():
        raise MachineError(f"{api.endpoint} needs a token that may write, and there is none", LOG_IN)
    # Its errors of the network are those of its HTTP library, which changes with its version.
    kinds: tuple[type[Exception], ...] = (*huggingface_hub.errors.HfHubHTTPError.__bases__, ValueError, RuntimeError)
    with _silence():
        try:
            yield api
        except (*kinds, huggingface_hub.errors.XetDownloadError) as error:
            raise _translated(error, repository, api.endpoint, bool(huggingface_hub.get_token())) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Without telemetry, bars, warnings and log lines of huggingface_hub."""
    from huggingface_hub import constants, utils

    logger = logging.getLogger("huggingface_hub")
    level, shown, telemetry_off = (
        logger.level,
        not utils.are_progress_bars_disabled(),
        constants.HF_HUB_DISABLE_TELEMETRY,
    )
    logger.setLevel(logging.CRITICAL)
    constants.HF_HUB_DISABLE_TELEMETRY = True  # its variable is read once, when another may import huggingface_hub
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            utils.disable_progress_bars()
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry_off
        if shown:
            utils.enable_progress_bars()
        logger.setLevel(level)


def _translated(error: Exception, repository: str, endpoint: str, has_token: bool) -> SeqvaeError:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError | RuntimeError) and isinstance(error.__cause__, Exception):
        return _translated(error.__cause__, repository, endpoint, has_token)  # it only says what was being done
    match error:
        case errors.GatedRepoError():
            return MachineError(f"{repository} is gated: access must be requested", f"ask at {endpoint}/{repository}")
        case errors.RepositoryNotFoundError():
            if has_token:
                return NotFoundError(f"{endpoint} has no repository {repository} that your token opens")
            return NotFoundError(f"{endpoint} has no public repository {repository}", f"if it is private: {LOG_IN}")
        case errors.RevisionNotFoundError():
            return NotFoundError(f"{repository} has no such revision", f"see {endpoint}/{repository}/tree/main")
        case errors.EntryNotFoundError():
            return NotFoundError(f"a file of {repository} is gone from {endpoint}", "try again")
        case errors.OfflineModeIsEnabled():
            return MachineError("huggingface_hub is offline by HF_HUB_OFFLINE", "unset it")
        case errors.HfHubHTTPError():
            return _refused(error, endpoint)
        case OSError(errno=int(), strerror=str(reason), filename=filename) if filename is not None:
            return MachineError(f"{os.fsdecode(filename)}: {reason}")
        case errors.HFValidationError():
            return UsageError(f"{repository!r:.120} is not a repository of the hub", _line(error))
        case ValueError() if "README.md" in str(error):
            return UsageError(f"the hub does not accept the card: {_line(error, -1).removeprefix('- ')}")
        case ValueError():
            return MachineError(f"{endpoint} does not answer as a hub: {_line(error)}", "check HF_ENDPOINT")
    return MachineError(f"{endpoint} cannot be reached: {_line(error) or type(error).__name__}")


def _refused(error: Any, endpoint: str) -> SeqvaeError:
    status, said = error.response.status_code, error.server_message or ""
    reason = f": {said.splitlines()[0]:.200}" if said else ""
    if status == 401:
        return MachineError(f"{endpoint} does not accept your token{reason}", LOG_IN)
    if status == 403:
        return MachineError(f"{endpoint} does not allow this to your token{reason}", "use one that may write there")
    return MachineError(f"{endpoint} answers {status}{reason}", "try again later" if status >= 500 else "")


def _line(error: Exception, which: int = 0) -> str:
    """One line of an error, shortened."""
    lines = str(error).strip().splitlines()
    return f"{lines[which]:.200}" if lines else ""
