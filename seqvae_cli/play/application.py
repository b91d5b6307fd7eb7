"""The application: the page's files, and the endpoints as POST /api/NAME, behind the guard. Every error is JSON."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import DataError, NotFoundError, UsageError
from seqvae_cli.play import endpoints, pages
from seqvae_cli.play.guard import HEADERS, Entry, Guard, Refusal
from seqvae_cli.play.playground import Playground
from seqvae_cli.system import runtime
from seqvae_cli.web import exchange
from seqvae_cli.web.exchange import Application
from seqvae_cli.web.worker import Job, Worker

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_BYTES = 64 * 1024
"""Bytes of the body of a request, at most."""
STATUSES: exchange.Statuses = ((UsageError, 400), (NotFoundError, 404), (DataError, 422))


def application(playground: Playground, guard: Guard) -> Application:
    """The ASGI application. Every refusal and error is JSON with its reason; that of the page itself is a page."""
    from starlette.requests import Request

    found = pages.files()
    workers = {False: Worker(), True: Worker()}  # by whether an endpoint is light: reading files waits for no model

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await exchange.settled(_answer(request, playground, guard, workers, found), STATUSES)
        if response is not None:
            response.headers.update(HEADERS)
            await response(scope, receive, send)

    return app


async def _answer(
    request: Request, playground: Playground, guard: Guard, workers: dict[bool, Worker], found: dict[str, pages.File]
) -> Response:
    """Raises `SeqvaeError`, and `ClientGoneError` where the client has left."""
    path = exchange.path_of(request.scope)
    verdict = guard.judge(path, request.scope["query_string"].decode("latin-1"), request.headers)
    if isinstance(verdict, Refusal):
        if path == "/" and request.method == "GET":
            return exchange.answer(_refusal_page(verdict), verdict.status, "text/html; charset=utf-8")
        return exchange.failure(verdict.status, verdict.reason, verdict.hint)
    if isinstance(verdict, Entry):
        entry = exchange.answer(b"", 303, "text/plain")
        entry.headers.update({"Location": verdict.location, "Set-Cookie": verdict.cookie})
        return entry
    name = path.removeprefix("/api/")
    if name != path:
        if name not in endpoints.ENDPOINTS:
            return exchange.failure(404, f"no endpoint {name!r:.60}", f"one of {', '.join(endpoints.ENDPOINTS)}")
        if request.method != "POST":
            return exchange.failure(
                405, f"{request.method:.20} is not allowed here", "POST a JSON object", {"Allow": "POST"}
            )
        values = await exchange.json_object(request, MOST_BYTES)
        endpoint = endpoints.ENDPOINTS[name]

        def work(job: Job) -> Response:
            if not endpoint.light:
                runtime.set_threads(playground.threads if endpoint.bulk else 1)
            return exchange.success(endpoints.answer(playground, name, values, job.check))

        return await exchange.called(request, workers[endpoint.light], work)
    if path not in found:
        return exchange.failure(404, "no such file", "")
    if request.method not in ("GET", "HEAD"):
        return exchange.failure(405, f"{request.method:.20} is not allowed here", "GET it", {"Allow": "GET, HEAD"})
    return exchange.answer(found[path].content, 200, found[path].media_type)


def _refusal_page(refusal: Refusal) -> str:
    reason, hint = html.escape(refusal.reason), html.escape(refusal.hint)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>seqvae play</title>'
        '<meta name="viewport" content="width=device-width"></head>'
        f"<body><main><h1>{refusal.status}: {reason}</h1><p>To see the playground, {hint}. "
        "The address has a new token each time the server starts.</p></main></body></html>"
    )
