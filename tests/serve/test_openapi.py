"""The OpenAPI document says what the server does: each bound is tried at its edge and beyond it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from seqvae_cli.serve import openapi, requests
from seqvae_cli.serve.endpoints import ENDPOINTS, Service, served
from tests.faults.matrix import FULL
from tests.serve.conftest import TOKEN, Client

Json = dict[str, Any]

KEYWORDS = {
    *("type", "title", "description", "default", "enum", "anyOf", "$ref", "pattern"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("items", "properties", "required", "additionalProperties"),
}
"""The keywords of JSON Schema that `edges` knows, and those that bound nothing."""


def edges(schema: Json) -> Iterator[tuple[Any, bool]]:
    """Values, each with whether it is as the schema says."""
    assert schema.keys() <= KEYWORDS, schema
    kind = schema.get("type")
    if "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from ((value, good) for value, good in edges(part) if value is not None)
        yield None, {"type": "null"} in schema["anyOf"]
        return
    if kind != "null":
        yield None, False
    if "enum" in schema:
        yield from ((value, True) for value in schema["enum"])
        yield "no such", False
    elif kind == "boolean":
        yield from ((True, True), (False, True), (1, False), ("true", False))
    elif kind in ("integer", "number"):
        low, high = schema["minimum"], schema["maximum"]
        whole = kind == "integer"
        yield from ((low, True), (high, True), (low - 1, False), (high * 2 + 1, False), (True, False), ("1", False))
        if whole:
            yield from ((float(low), True), (low + 0.5, False))
    elif kind == "string":
        most = schema["maxLength"]
        yield from (("a" * most, True), ("a" * (most + 1), False), (1, False), ("\ud800", False))
        yield "", not schema.get("minLength", 0)
        if "pattern" in schema:
            yield from ((" \t\r\n", False), (" a\n", True))
    elif kind == "array":
        least, most = schema["minItems"], schema["maxItems"]
        good = next(value for value, right in edges(schema["items"]) if right)
        yield from (([good] * least, True), ([good] * most, True), ([good] * (most + 1), False), (good, False))
        yield [good] * (least - 1), False
        yield from (([value] * least, right) for value, right in edges(schema["items"]))


@pytest.fixture(scope="module")
def document(client: Client) -> Json:
    found: Json = client("GET", "/openapi.json", headers={"Authorization": ""}).json
    return found


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_request_is_accepted_where_the_document_says_so_and_nowhere_else(
    document: Json, service: Service, name: str
) -> None:
    (reference,) = document["paths"][f"/{name}"]["post"]["requestBody"]["content"].values()
    schema = document["components"]["schemas"][reference["schema"]["$ref"].rpartition("/")[2]]
    kind, properties = served(service)[name], schema["properties"]
    assert schema["additionalProperties"] is False
    least = {key: next(value for value, good in edges(properties[key]) if good) for key in schema.get("required", ())}
    found = requests.read(kind, least)
    for key, about in properties.items():
        if key in least:
            with pytest.raises(requests.UnprocessableError, match=f"{key} is missing"):
                requests.read(kind, {one: value for one, value in least.items() if one != key})
        else:
            assert getattr(found, key) == about["default"], key
        for value, good in edges(about):
            if good:
                assert getattr(requests.read(kind, {**least, key: value}), key) == value, (key, value)
            else:
                with pytest.raises(requests.UnprocessableError, match=key):
                    requests.read(kind, {**least, key: value})
    with pytest.raises(requests.UnprocessableError, match="unknown value"):
        requests.read(kind, {**least, "another": 1})


def test_every_reference_leads_somewhere_and_every_error_is_explained(document: Json) -> None:
    text = json.dumps(document)
    for place in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        found = document
        for step in place.split("/"):
            found = found[step]
        assert found
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"].endswith(".")
            assert ("401" in operation["responses"]) == ("security" in operation)
    assert document["components"]["schemas"]["Decode"]["properties"]["codes"]["items"]["maxItems"] == 4


def test_without_a_token_the_document_asks_for_none(service: Service) -> None:
    text = json.dumps(openapi.document(service, token=False)["paths"])
    assert "security" not in text
    assert "/401" not in text
    assert "/403" in text


def test_without_a_corpus_there_are_no_neighbours(service: Service) -> None:
    assert "/neighbours" not in openapi.document(replace(service, candidates=None), token=True)["paths"]


def test_a_metric_that_the_posterior_lacks_is_not_offered(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def metrics() -> list[str]:
        found = served(service)["neighbours"].model_json_schema()["properties"]["metric"]["enum"]
        return list(found)

    assert "kl" in metrics()
    monkeypatch.setitem(requests.METRICS, "kl", requests.METRICS["kl"]._replace(posteriors=()))
    assert metrics() == ["euclidean", "cosine"]


SCHEMATHESIS = shutil.which("schemathesis")


@pytest.mark.skipif(not FULL, reason="a thousand requests: make faults")
@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not on the path: pipx install schemathesis")
@pytest.mark.parametrize("token", [True, False])
def test_schemathesis_finds_nothing(client: Client, open_client: Client, token: bool, tmp_path: Any) -> None:
    port = (client if token else open_client).port
    header = ["-H", f"Authorization: Bearer {TOKEN}"] if token else []
    done = subprocess.run(
        [str(SCHEMATHESIS), "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "-n", "50", *header],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "No issues found" in done.stdout
