"""The OpenAPI 3.1 document of a server, made from the types that check its requests and build its answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from seqvae_cli.serve import answers
from seqvae_cli.serve.endpoints import ENDPOINTS, Service, served
from seqvae_cli.version import __version__

Json = dict[str, Any]

REASONS = {
    "400": "The body is not a JSON object.",
    "401": "The token is missing or wrong.",
    "403": "The Host of the request does not name this machine.",
    "408": "The body did not come in time.",
    "409": "The body is as this document says, but this model cannot do it: a word of `start` that it does not know, "
    "a sentence without words, more tokens times samples than it scores at once; or a beam or greedy choice with "
    "temperature, top_k or top_p.",
    "413": "The body is too large.",
    "415": "The body is not application/json.",
    "422": "The body is not as this document says.",
    "500": "An error of the machine, or a bug.",
    "503": "Too many requests wait, or too many connections are open.",
}
POSTED, GOT = "400 408 409 413 415 422 500 503", "500 503"
"""Errors of every POST and every GET; those of access come on top."""
HEADERS: dict[str, tuple[str, Json]] = {
    "401": ("WWW-Authenticate", {"type": "string"}),
    "503": ("Retry-After", {"type": "string", "pattern": "^[0-9]+$", "description": "Seconds."}),
}
"""Headers of an error, beside its JSON."""


def document(service: Service, *, token: bool) -> Json:
    """`token`: whether requests need one."""
    kinds = served(service)
    made: list[tuple[type[BaseModel], str]] = [(kind, "validation") for kind in kinds.values()]
    made += [(ENDPOINTS[name].answer, "serialization") for name in kinds]
    made += [(kind, "serialization") for kind in (answers.Health, answers.Failure)]
    references, definitions = models_json_schema(made, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    schemas = {kind: schema for (kind, _), schema in references.items()}
    paths: Json = {}
    for name, kind in kinds.items():
        endpoint = ENDPOINTS[name]
        posted = _operation(name, str(endpoint.work.__doc__), _json(schemas[endpoint.answer]), POSTED, token)
        paths[f"/{name}"] = {"post": posted | {"requestBody": {"required": True, "content": _json(schemas[kind])}}}
    for name, (summary, content, guarded) in {
        "health": ("Whether the server is ready, and what it serves.", _json(schemas[answers.Health]), False),
        "metrics": ("Counts in the text format of Prometheus.", {"text/plain": {"schema": {"type": "string"}}}, True),
        "openapi.json": ("This document.", _json({"type": "object"}), False),
    }.items():
        paths[f"/{name}"] = {"get": _operation(name, summary, content, GOT, token, guarded=guarded)}
    model = service.model
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "seqvae serve",
            "version": __version__,
            "description": f"The sentence VAE of run {model.run.name}, {model.latent_size} latent dimensions. "
            "The same request has the same answer.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "responses": {status: _failure(status, schemas[answers.Failure]) for status in REASONS},
            **({"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if token else {}),
        },
    }


def _operation(name: str, summary: str, content: Json, failures: str, token: bool, *, guarded: bool = True) -> Json:
    """`guarded`: whether it needs the token, where there is one."""
    needed = guarded and token
    statuses = sorted([*failures.split(), *(["401"] if needed else []), *([] if token else ["403"])])
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in statuses},
        },
        **({"security": [{"token": []}]} if needed else {}),
    }


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _failure(status: str, schema: Json) -> Json:
    found: Json = {"description": REASONS[status], "content": _json(schema)}
    if status in HEADERS:
        name, header = HEADERS[status]
        found["headers"] = {name: {"required": True, "schema": header}}
    return found
