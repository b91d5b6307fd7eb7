"""One request and its answer: a body read within bounds, work of a `Worker` that ends where the client leaves, JSON.

Every error is JSON with its reason: `{"error": ..., "hint": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import MachineError, SeqvaeError, UsageError
from seqvae_cli.system import json_files
from seqvae_cli.web.worker import BusyError, ClientGoneError, Job, Worker

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PATIENCE = 20.0
"""Seconds that a client may take to send a request, at most."""
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""Headers of every answer."""
RETRY = {"Retry-After": "1"}
"""Headers of an answer that says to come again: in so many seconds."""

ABSOLUTE = re.compile("https?://[^/]*/?", re.IGNORECASE)
"""What stands before the path in the absolute form of a target."""

Application = Callable[..., Awaitable[None]]
"""An ASGI application."""
Statuses = tuple[tuple[type[SeqvaeError], int], ...]


class TooLargeError(UsageError):
    """The body of a request has too many bytes."""


class TooSlowError(UsageError):
    """The body of a request did not come in time."""


class MediaTypeError(UsageError):
    """The body of a request is not JSON by its own account."""


class MalformedError(UsageError):
    """The body of a request is not a JSON object."""


STATUSES: Statuses = (
    (BusyError, 503),
    (TooLargeError, 413),
    (TooSlowError, 408),
    (MediaTypeError, 415),
    (MalformedError, 400),
    (MachineError, 500),
)
"""HTTP status of an error, by the first class that it is of."""


def path_of(scope: Any) -> str:
    """The path of a request, also where its target is in the absolute form, as proxies get it: http://HOST/PATH."""
    path: str = scope["path"]
    return path if path.startswith("/") else ABSOLUTE.sub("/", path, count=1)


async def settled(respond: Awaitable[Response], statuses: Statuses) -> Response | None:
    """The answer, with errors turned into theirs; None where the client has left. `statuses`: beside `STATUSES`."""
    from starlette.requests import ClientDisconnect

    try:
        return await respond
    except (ClientGoneError, ClientDisconnect):
        return None
    except SeqvaeError as error:
        status = next((code for kind, code in (*STATUSES, *statuses) if isinstance(error, kind)), 500)
        return failure(status, error.message, error.hint, RETRY if status == 503 else None)
    except asyncio.CancelledError:  # uvicorn would answer plain text
        return failure(503, "the server is ending")
    except Exception as error:
        return failure(500, f"a bug in seqvae: {type(error).__name__}: {error}"[:300], "please report it")


async def called(request: Request, worker: Worker, work: Callable[[Job], Response]) -> Response:
    """What the work gives. Raises what it raises, and `ClientGoneError` where the client has left."""
    job = worker.submit(work)
    done = asyncio.wrap_future(job.answer)
    left = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((done, left), return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise ClientGoneError
        response: Response = done.result()
        return response
    finally:
        worker.cancel(job)
        left.cancel()
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody else looks at it


async def _left(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def json_object(request: Request, most: int) -> dict[str, Any]:
    """The JSON object that is the body of a request, of at most `most` bytes. Raises `UsageError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise MediaTypeError("the body is not application/json", "POST a JSON object")
    body = bytearray()
    too_large = TooLargeError(f"the body has over {most:,} bytes", "ask for less at once")
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise too_large
    except TimeoutError as error:
        raise TooSlowError(f"the body did not come within {PATIENCE:g} seconds") from error
    try:
        values = json_files.parse(body.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the body is not JSON: {error}"[:200]) from error
    if not isinstance(values, dict):
        raise MalformedError("the body is not a JSON object")
    return values


def success(value: Any, status: int = 200) -> Response:
    """`value` as JSON. Raises `ValueError` for NaN."""
    return answer(json.dumps(value, allow_nan=False, separators=(",", ":")), status)  # ASCII: no text can break it


def failure(status: int, reason: str, hint: str = "", headers: dict[str, str] | None = None) -> Response:
    """An error as JSON."""
    found = success({"error": reason, "hint": hint}, status)
    found.headers.update(headers or {})
    return found


def answer(content: str | bytes, status: int = 200, media_type: str = "application/json") -> Response:
    """Any content, with `HEADERS`."""
    from starlette.responses import Response

    return Response(content, status, HEADERS, media_type)


async def crowded(scope: Any, receive: Any, send: Any) -> None:
    """The application of a connection too many."""
    headers = {**RETRY, "Connection": "close"}  # the next connection may find room
    await failure(503, "too many connections", "close other connections", headers)(scope, receive, send)
