"""The server: the page's files, and the endpoints as POST /api/NAME, behind the guard, on the loopback interface.

`application` makes an ASGI application of the open models; `serve` runs it until a signal ends it.
"""

from __future__ import annotations

import asyncio
import html
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import DataError, MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.play import endpoints, pages
from seqvae_cli.play.guard import HEADERS, Entry, Guard, Refusal
from seqvae_cli.play.playground import Playground
from seqvae_cli.play.worker import BusyError, ClientGoneError, Worker
from seqvae_cli.system import files

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
PORT = 8421
"""The first port that is tried."""
PORTS_TRIED = 100
"""Ports after the first that may be free instead."""
MOST_BYTES = 64 * 1024
"""Bytes of the body of a request, at most."""
CONNECTIONS = 64
"""Requests at once, at most."""


class TooLargeError(UsageError):
    """The body of a request has too many bytes."""


class MediaTypeError(UsageError):
    """The body of a request is not JSON by its own account."""


STATUSES: tuple[tuple[type[SeqvaeError], int], ...] = (
    (BusyError, 503),
    (TooLargeError, 413),
    (MediaTypeError, 415),
    (UsageError, 400),
    (NotFoundError, 404),
    (DataError, 422),
    (MachineError, 500),
)
"""HTTP status of an error, by the first class that it is of."""

Application = Callable[..., Awaitable[None]]


def bind(port: int | None) -> socket.socket:
    """A socket on the loopback interface: at `port`, or at the first free one from `PORT` where that is None.

    Raises `MachineError` that names the next free port where `port` is in use or forbidden.
    """
    if port is not None:
        try:
            return _bound(port)
        except OSError as error:
            reason = "is in use" if _in_use(port) else f"cannot be opened: {error.strerror}"
            with _first_free(max(port + 1, 1024)) as free:
                hint = f"the next free one: --port {free.getsockname()[1]}"
            raise MachineError(f"port {port} {reason}", hint) from error
    return _first_free(PORT)


def _bound(port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off for sockets that name their protocol; it would delay each answer by 40 ms.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections may still be closing
        made.bind((HOST, port))
        made.listen(CONNECTIONS)
    except OSError:
        made.close()
        raise
    return made


def _in_use(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _first_free(port: int) -> socket.socket:
    for candidate in (*range(port, min(port + PORTS_TRIED, 65536)), 0):
        with suppress(OSError):
            return _bound(candidate)
    raise MachineError(f"no port of {HOST} is free", "end another server")


def serve(
    playground: Playground,
    listener: socket.socket,
    guard: Guard,
    worker: Worker,
    ready: Callable[[], object] | None = None,
) -> None:
    """Answers requests on `listener` until SIGINT or SIGTERM, whose earlier handler is then called.

    `ready` is called once it answers. Raises `MachineError` where the extra `play` is missing.
    """
    uvicorn = _uvicorn()
    config = uvicorn.Config(
        application(playground, guard, worker),
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=0,  # Ctrl-C ends it at once, and whatever is being answered with it
        h11_max_incomplete_event_size=MOST_BYTES,
        http="h11",
        loop="asyncio",
    )

    class Server(uvicorn.Server):  # type: ignore[misc,name-defined]
        async def startup(self, *arguments: Any, **options: Any) -> None:
            await super().startup(*arguments, **options)
            if ready is not None:
                ready()

    Server(config).run(sockets=[listener])


def _uvicorn() -> Any:
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        message = "the playground needs the packages starlette and uvicorn"
        raise MachineError(message, 'pip install "seqvae[play]"') from error
    assert starlette
    return uvicorn


check_installed = _uvicorn
"""Raises `MachineError` where the extra `play` is missing."""


def application(playground: Playground, guard: Guard, worker: Worker) -> Application:
    """The ASGI application. Every refusal and error is JSON with its reason; that of the page itself is a page."""
    from starlette.requests import Request

    found = pages.files()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        with suppress(ClientGoneError):  # nobody is there to be answered
            response = await _answer(request, playground, guard, worker, found)
            await response(scope, receive, send)

    return app


async def _answer(
    request: Request, playground: Playground, guard: Guard, worker: Worker, found: dict[str, pages.File]
) -> Response:
    path = request.url.path
    verdict = guard.judge(path, request.url.query, request.headers)
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
        try:
            return _json(200, await _called(request, name, playground, worker))
        except SeqvaeError as error:
            status = next((code for kind, code in STATUSES if isinstance(error, kind)), 500)
            return _error(status, error.message, error.hint)
        except ClientGoneError:
            raise
        except Exception as error:
            return _error(500, f"a bug in seqvae: {type(error).__name__}: {error}"[:300], "please report it")
    if path not in found:
        return _error(404, "no such file", "")
    if request.method not in ("GET", "HEAD"):
        return _error(405, f"{request.method:.20} is not allowed here", "GET it", Allow="GET, HEAD")
    return _response(found[path].content, 200, found[path].media_type)


async def _called(request: Request, name: str, playground: Playground, worker: Worker) -> Any:
    """The answer of an endpoint. Raises `SeqvaeError`, and `ClientGoneError` where the client has left."""
    values = await _body(request)
    if endpoints.ENDPOINTS[name].light:
        return await asyncio.to_thread(endpoints.answer, playground, name, values, lambda: None)
    job = worker.submit(lambda job: endpoints.answer(playground, name, values, job.check))
    done = asyncio.ensure_future(asyncio.wrap_future(job.answer))
    left = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((done, left), return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise ClientGoneError
        return done.result()
    finally:
        job.cancel()
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
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise TooLargeError(f"the body has over {MOST_BYTES:,} bytes", "ask for less at once")
    try:
        values = files.parse_json(body.decode())
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
