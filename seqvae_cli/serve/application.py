"""The application: POST /NAME for each endpoint, and GET /health, /metrics and /openapi.json."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from seqvae_cli.errors import UsageError
from seqvae_cli.serve import answers, openapi, requests
from seqvae_cli.serve.access import Access
from seqvae_cli.serve.endpoints import ENDPOINTS, Service, served
from seqvae_cli.serve.metrics import MEDIA_TYPE, Metrics
from seqvae_cli.system import runtime
from seqvae_cli.version import __version__
from seqvae_cli.web import exchange
from seqvae_cli.web.exchange import Application
from seqvae_cli.web.worker import Job, Worker

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_BYTES = 2**21
"""Bytes of the body of a request, at most."""
STATUSES: exchange.Statuses = ((requests.UnprocessableError, 422), (UsageError, 409))
"""A value that the document allows and the model refuses, such as an unknown word to start with, is a conflict."""
GETS = ("/health", "/metrics", "/openapi.json")
OPEN = ("/health", "/openapi.json")
"""Paths that need no token."""


def application(service: Service, access: Access) -> Application:
    """The ASGI application. Every refusal and error is JSON with its reason."""
    from starlette.requests import Request

    server = _Server(service, access)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        begun = time.perf_counter()
        request = Request(scope, receive)
        response = await exchange.settled(server.respond(request), STATUSES)
        path = exchange.path_of(scope)
        name = path.removeprefix("/") if path in server.paths else "other"
        status = "left" if response is None else str(response.status_code)
        server.metrics.record(name, status, time.perf_counter() - begun)
        if response is not None:
            await response(scope, receive, send)

    return app


class _Server:
    def __init__(self, service: Service, access: Access) -> None:
        self.service, self.access = service, access
        self.kinds = served(service)
        self.paths = (*(f"/{name}" for name in self.kinds), *GETS)
        self.document = openapi.document(service, token=access.token is not None)
        self.worker, self.metrics = Worker(), Metrics()

    async def respond(self, request: Request) -> Response:
        """Raises `SeqvaeError`, and `ClientGoneError` where the client has left."""
        path, method = exchange.path_of(request.scope), request.method
        if not self.access.knows_host(request.headers):
            return exchange.failure(403, "the Host of the request is not this machine", "ask localhost, or use a token")
        if path not in self.paths:
            return exchange.failure(404, f"no endpoint {path!r:.60}", f"one of {', '.join(self.paths)}")
        allowed = ("GET", "HEAD") if path in GETS else ("POST",)
        if method not in allowed:
            reason, hint = f"{method:.20} is not allowed here", f"{allowed[0]} it"
            return exchange.failure(405, reason, hint, {"Allow": ", ".join(allowed)})
        if path not in OPEN and not self.access.allows(request.headers):
            hint = "send the header Authorization: Bearer TOKEN"
            return exchange.failure(401, "the token is missing or wrong", hint, {"WWW-Authenticate": "Bearer"})
        if path == "/health":
            return exchange.success(self._health().model_dump())
        if path == "/metrics":
            return exchange.answer(self.metrics.text(self.worker.waiting), media_type=MEDIA_TYPE)
        if path == "/openapi.json":
            return exchange.success(self.document)
        return await self._post(request, path.removeprefix("/"))

    async def _post(self, request: Request, name: str) -> Response:
        endpoint = ENDPOINTS[name]
        values = requests.read(self.kinds[name], await exchange.json_object(request, MOST_BYTES))

        def work(job: Job) -> Response:
            runtime.set_threads(self.service.threads if endpoint.bulk else 1)
            found = endpoint.work(self.service, values, job.check)
            self.metrics.add_sentences(name, len(getattr(found, endpoint.counted)))
            return exchange.success(found.model_dump())

        return await exchange.called(request, self.worker, work)

    def _health(self) -> answers.Health:
        model = self.service.model
        about: dict[str, Any] = {"run": model.run.name, "step": model.step, "latent_size": model.latent_size}
        return answers.Health(ready=True, version=__version__, **about)
