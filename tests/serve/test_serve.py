"""The API over its socket: its answers are those of the model, and every refusal says why."""

from __future__ import annotations

import http.client
import threading

import numpy as np
import pytest

from seqvae_cli.api import Strategy
from seqvae_cli.serve import answers, endpoints
from seqvae_cli.serve.access import Access
from seqvae_cli.serve.application import MOST_BYTES
from seqvae_cli.serve.endpoints import Service
from seqvae_cli.web.worker import BusyError, Worker
from tests.serve.conftest import TOKEN, Client

FIRST, LAST = "the cat sees the sea", "a dog likes zebras"


def test_codes_go_out_and_come_back(client: Client, service: Service) -> None:
    found = client.post("encode", sentences=[FIRST, LAST]).json
    means, scales = service.model.posterior([FIRST, LAST])
    assert np.array_equal(np.array(found["codes"], np.float32), means)
    assert np.array_equal(np.array(found["scales"], np.float32), scales)
    assert found["unknown"] == [[], ["zebras"]]
    made = client.post("decode", codes=found["codes"]).json["sentences"]
    assert [one["text"] for one in made] == service.model.reconstruct([FIRST, LAST])


def test_words_are_drawn_where_it_is_asked_for(client: Client, service: Service) -> None:
    codes = service.model.encode([FIRST] * 3)
    found = client.post("decode", codes=codes.tolist(), temperature=1.0, seed=5).json["sentences"]
    assert [one["text"] for one in found] == service.model.decode(codes, Strategy(), seed=5)
    found = client.post("decode", codes=codes.tolist(), beam=3, max_len=2).json["sentences"]
    assert [one["text"] for one in found] == service.model.decode(codes, Strategy(beam=3), max_len=2)
    assert found[0]["cut"]


def test_samples_are_those_of_the_model(client: Client, service: Service) -> None:
    found = client.post("sample", count=40, seed=3, start="the", unk=False, top_k=3.0).json
    expected = list(service.model.samples(40, Strategy(unk=False, top_k=3), start="the", seed=3))
    assert [one["text"] for one in found["sentences"]] == [one.text for one in expected]
    assert [one["tokens"] for one in found["sentences"]] == [one.tokens for one in expected]
    assert np.array_equal(np.array(found["codes"], np.float32), np.stack([one.code for one in expected]))


def test_a_path_is_that_of_the_model(client: Client, service: Service) -> None:
    for options in ({"steps": 5}, {"steps": 4, "even": True}, {"steps": 3, "path": "spherical"}):
        found = client.post("interpolate", first=FIRST, last=LAST, **options).json
        expected = service.model.interpolation(FIRST, LAST, **options)  # type: ignore[arg-type]
        assert [one["text"] for one in found["sentences"]] == expected.sentences
        assert [one["t"] for one in found["sentences"]] == expected.positions
        assert found["path"] == expected.path


def test_scores_are_those_of_the_model(client: Client, service: Service) -> None:
    found = client.post("score", sentences=[FIRST, LAST], samples=7, seed=1).json
    for one, expected in zip(found["sentences"], service.model.score([FIRST, LAST], samples=7, seed=1), strict=True):
        assert one["nll"] == pytest.approx(expected.iw_nll, rel=1e-5)
        assert one["neg_elbo"] == pytest.approx(one["distortion"] + one["rate"])
        assert one["nats_per_token"] * one["tokens"] == pytest.approx(one["nll"])


def test_neighbours_are_those_of_the_model(client: Client, service: Service) -> None:
    assert service.candidates is not None
    inside = service.candidates.record(7).text
    for metric in ("euclidean", "kl"):
        found = client.post("neighbours", sentences=[inside, LAST], count=3, metric=metric).json["sentences"]
        expected = service.model.neighbours([inside, LAST], service.candidates, n=3, metric=metric)
        assert [[one["text"] for one in near["neighbours"]] for near in found] == [
            [one.sentence for one in near] for near in expected
        ]
        assert found[0]["neighbours"][0]["text"] == inside
        assert found[0]["neighbours"][0]["distance"] == 0
        assert found[1]["unknown"] == ["zebras"]


def test_health_needs_no_token_and_tells_what_is_served(client: Client, service: Service) -> None:
    found = client("GET", "/health", headers={"Authorization": ""})
    assert (found.status, found.json["ready"], found.json["run"]) == (200, True, "tiny-run")
    assert (found.json["step"], found.json["latent_size"]) == (service.model.step, 4)
    assert client("HEAD", "/health").status == 200
    assert client("GET", "http://localhost/health").status == 200, "the absolute form, as a proxy gets it"


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer é"]
)
def test_without_the_token_nothing_is_answered(client: Client, given: str) -> None:
    for method, path in (("POST", "/encode"), ("GET", "/metrics")):
        found = client(method, path, b"{}" if method == "POST" else None, {"Authorization": given})
        assert found.status == 401
        assert found.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in found.json["error"] + found.json["hint"]


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "127.0.0.1.example.com:80", "1.2.3.4", ""])
def test_without_a_token_the_host_must_be_this_machine(open_client: Client, host: str) -> None:
    """Against names of others that point here."""
    assert open_client.post("encode", sentences=[FIRST]).status == 200
    assert not Access(None).knows_host({"host": host})
    assert Access(TOKEN).knows_host({"host": host})
    if host:
        assert open_client("GET", "/health", headers={"Host": host}).status == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/encode", None, {}, 405),
        ("OPTIONS", "/encode", None, {}, 405),
        ("POST", "/health", b"{}", {}, 405),
        ("POST", "/nothing", b"{}", {}, 404),
        ("GET", "/", None, {}, 404),
        ("GET", "/encode/", None, {}, 404),
        ("POST", "/encode", b"{", {}, 400),
        ("POST", "/encode", b"\xff", {}, 400),
        ("POST", "/encode", b"[]", {}, 400),
        ("POST", "/sample", b'{"temperature": NaN}', {}, 400),
        ("POST", "/sample", b"{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "/sample", b" " * (MOST_BYTES + 1), {}, 413),
        ("POST", "/sample", b'{"count": 1000000}', {}, 422),
        ("POST", "/sample", b'{"beam": 3, "temperature": 5}', {}, 409),
        ("POST", "/sample", b'{"greedy": true, "top_k": 3}', {}, 409),
        ("POST", "/sample", b'{"counts": 3}', {}, 422),
        ("POST", "/decode", b'{"codes": [[1, 2]]}', {}, 422),
        ("POST", "/sample", b'{"start": "zebra"}', {}, 409),
        ("POST", "/encode", b'{"sentences": ["\\u000b"]}', {}, 409),
        ("POST", "/score", b'{"sentences": ["%b"], "samples": 1000}' % (b"a b " * 250), {}, 409),
    ],
)
def test_a_bad_request_gets_a_reason_in_json(
    client: Client, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    found = client(method, path, body, headers)
    assert found.status == status, found.body
    assert found.headers["content-type"] == "application/json"
    assert found.json["error"]
    assert answers.Failure.model_validate(found.json)
    assert ("allow" in found.headers) == (status == 405)


def test_the_metrics_count_requests_and_sentences(client: Client) -> None:
    before = client.metrics()
    client.post("sample", count=3)
    client.post("sample", count=-3)
    client("GET", "/secret")
    after = client.metrics()
    added = {name: after[name] - before.get(name, 0) for name in after}
    assert added['seqvae_requests_total{endpoint="sample",status="200"}'] == 1
    assert added['seqvae_requests_total{endpoint="sample",status="422"}'] == 1
    assert added['seqvae_requests_total{endpoint="other",status="404"}'] == 1
    assert added['seqvae_request_seconds_count{endpoint="sample"}'] == 2
    assert added['seqvae_request_seconds_sum{endpoint="sample"}'] > 0
    assert added['seqvae_sentences_total{endpoint="sample"}'] == 3
    assert after["seqvae_waiting_requests"] == 0
    assert not any("secret" in name for name in after)


def test_a_client_that_leaves_stops_its_work(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow(_service: object, _values: object, check: endpoints.Check) -> answers.Sampled:
        begun.set()
        try:
            for _ in range(1000):
                check()
                ended.wait(0.01)
        except BaseException:
            ended.set()
            raise
        return answers.Sampled(sentences=[], codes=[])

    monkeypatch.setitem(endpoints.ENDPOINTS, "sample", endpoints.Endpoint(slow, answers.Sampled))
    connection = http.client.HTTPConnection("127.0.0.1", client.port)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    connection.request("POST", "/sample", b"{}", headers)
    assert begun.wait(10)
    connection.close()
    assert ended.wait(10)
    assert client.post("encode", sentences=[FIRST]).status == 200
    assert client.metrics()['seqvae_requests_total{endpoint="sample",status="left"}'] == 1


def test_a_full_queue_is_said_to_be_busy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise BusyError("too many requests wait for the model")

    monkeypatch.setattr(Worker, "submit", full)
    found = client.post("sample")
    assert found.status == 503
    assert int(found.headers["retry-after"]) > 0
    assert "too many" in found.json["error"]
