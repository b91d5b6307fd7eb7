"""The application: the page's files, and the endpoints as POST /api/NAME, behind the guard. Every error is JSON."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import DataError, MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.play import endpoints, pages
from seqvae_cli.play.guard import HEADERS, Entry, Guard, Refusal
from seqvae_cli.play.playground import Playground
from seqvae_cli.play.worker import BusyError, ClientGoneError, Worker
from seqvae_cli.system import json_files, runtime

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_BYTES = 64 * 1024
"""Bytes of the body of a request, at most."""
PATIENCE = 20.0
"""Seconds that a client may take to send a request, at most."""


class TooLargeError(UsageError):
    """The body of a request has too many bytes."""


class TooSlowError(UsageError):
    """The body of a request did not come in time."""


class MediaTypeError(UsageError):
    """The body of a request is not JSON by its own account."""


STATUSES: tuple[tuple[type[SeqvaeError], int], ...] = (
    (BusyError, 503),
    (TooLargeError, 413),
    (TooSlowError, 408),
    (MediaTypeError, 415),
    (UsageError, 400),
    (NotFoundError, 404),
    (DataError, 422),
    (MachineError, 500),
)
"""HTTP status of an error, by the first class that it is of."""

Application = Callable[..., Awaitable[None]]


def application(playground: Playground, guard: Guard) -> Application:
    """The ASGI application. Every refusal and error is JSON with its reason; that of the page itself is a page."""
    from starlette.requests import ClientDisconnect, Request

    found = pages.files()
    workers = {False: Worker(), True: Worker()}  # by whether an endpoint is light: reading files waits for no model

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await _answer(request, playground, guard, workers, found)
        except (ClientGoneError, ClientDisconnect):  # nobody is there to be answered
            return
        except SeqvaeError as error:
            status = next((code for kind, code in STATUSES if isinstance(error, kind)), 500)
            response = _error(status, error.message, error.hint)
        except Exception as error:
            response = _error(500, f"a bug in seqvae: {type(error).__name__}: {error}"[:300], "please report it")
        await response(scope, receive, send)

    return app


async def crowded(scope: Any, receive: Any, send: Any) -> None:
    """The application of a connection too many."""
    await _error(503, "too many connections", "close other pages of the playground")(scope, receive, send)


async def _answer(
    request: Request, playground: Playground, guard: Guard, workers: dict[bool, Worker], found: dict[str, pages.File]
) -> Response:
    """Raises `SeqvaeError`, and `ClientGoneError` where the client has left."""
    path = request.scope["path"]
    verdict = guard.judge(path, request.scope["query_string"].decode("latin-1"), request.headers)
    if isinstance(verdict, Refusal):
        if path == "/" and request.method == "GET":
            return _page(_refusal_page(verdict), verdict.status)
        return _error(verdict.status, verdict.reason, verdict.hint)
    if isinstance(verdict, Entry):
        return _response(b"", 303, "text/plain", {"Location": verdict.location, "Set-Cookie": verdict.cookie})
    name = path.removeprefix("/api/")
    if name != path:
        if name not in endpoints.ENDPOINTS:
            return _error(404, f"no endpoint {name!r:.60}", f"one of {', '.join(endpoints.ENDPOINTS)}")
        if request.method != "POST":
            return _error(405, f"{request.method:.20} is not allowed here", "POST a JSON object", Allow="POST")
        values = await _body(request)
        endpoint = endpoints.ENDPOINTS[name]

        def work(check: Callable[[], None]) -> Any:
            if not endpoint.light:
                runtime.set_threads(playground.threads if endpoint.bulk else 1)
            return endpoints.answer(playground, name, values, check)

        return await _called(request, workers[endpoint.light], work)
    if path not in found:
        return _error(404, "no such file", "")
    if request.method not in ("GET", "HEAD"):
        return _error(405, f"{request.method:.20} is not allowed here", "GET it", Allow="GET, HEAD")
    return _response(found[path].content, 200, found[path].media_type)


async def _called(request: Request, worker: Worker, work: Callable[[Callable[[], None]], Any]) -> Response:
    """What the work gives, as JSON. Raises what it raises, and `ClientGoneError` where the client has left."""
    job = worker.submit(lambda job: _json(200, work(job.check)))
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


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises `UsageError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise MediaTypeError("the body is not application/json", "POST a JSON object")
    body = bytearray()
    too_large = TooLargeError(f"the body has over {MOST_BYTES:,} bytes", "ask for less at once")
    if int(request.headers.get("content-length", 0)) > MOST_BYTES:
        raise too_large
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise too_large
    except TimeoutError as error:
        raise TooSlowError(f"the body did not come within {PATIENCE:g} seconds") from error
    try:
        values = json_files.parse(body.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {error}"[:200]) from error
    if not isinstance(values, dict):
        raise UsageError("the body is not a JSON object")
    return values


def _json(status: int, value: Any, **headers: str) -> Response:
    body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()  # ASCII: no text can break it
    return _response(body, status, "application/json", headers)


def _error(status: int, reason: str, hint: str, **headers: str) -> Response:
    return _json(status, {"error": reason, "hint": hint}, **headers)


def _page(text: str, status: int) -> Response:
    return _response(text.encode(), status, "text/html; charset=utf-8")


def _response(content: bytes, status: int, media_type: str, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import Response

    return Response(content, status, HEADERS | (headers or {}), media_type)


def _refusal_page(refusal: Refusal) -> str:
    reason, hint = html.escape(refusal.reason), html.escape(refusal.hint)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>seqvae play</title>'
        '<meta name="viewport" content="width=device-width"></head>'
        f"<body><main><h1>{refusal.status}: {reason}</h1><p>To see the playground, {hint}. "
        "The address has a new token each time the server starts.</p></main></body></html>"
    )
