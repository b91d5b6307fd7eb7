"""The server over its socket: who may ask, what is refused, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.play import application, endpoints, pages
from seqvae_cli.play.guard import HEADERS, Guard, Refusal
from seqvae_cli.web import exchange, server
from tests.conftest import Seqvae
from tests.play.conftest import TOKEN, Client
from tests.trainings import fit, new_run

HOSTILE = [
    "<script>alert(1)</script>",
    "</textarea><img src=x onerror=alert(1)>",
    "\u202e\u2028\x00 \x1b[31m",
    "🙂 שלום",
]


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(client: Client) -> None:
    found = client("GET", f"/?token={TOKEN}", headers={"Cookie": ""})
    assert (found.status, found.headers["location"]) == (303, "/")
    cookie = found.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    page = client("GET", "/", headers={"Cookie": cookie.partition(";")[0]})
    assert page.status == 200
    assert TOKEN.encode() not in page.body


@pytest.mark.parametrize("cookie", ["", "seqvae_play_1=x", f"other={TOKEN}", "seqvae_play_{port}=wrong", '"\\'])
def test_without_the_token_nothing_is_answered(client: Client, cookie: str) -> None:
    headers = {"Cookie": cookie.format(port=client.guard.port)}
    for method, path in (("GET", "/"), ("GET", "/main.js"), ("POST", "/api/runs"), ("GET", "/?token=wrong")):
        found = client(method, path, b"{}" if method == "POST" else None, headers)
        assert found.status == 401
        assert b"seqvae play" in found.body
        if path != "/" and "?" not in path:
            assert found.json["error"]


@pytest.mark.parametrize(
    "host", ["example.com", "127.0.0.1", "127.0.0.1:1", "localhost.example.com:{port}", "[::1]:{port}"]
)
def test_another_host_is_refused(client: Client, host: str) -> None:
    found = client.post("runs", {}, {"Host": host.format(port=client.guard.port)})
    assert found.status == 403
    assert "Host" in found.json["error"]


@pytest.mark.parametrize("origin", ["http://example.com", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_another_origin_is_refused(client: Client, origin: str) -> None:
    found = client.post("runs", {}, {"Origin": origin.format(port=client.guard.port)})
    assert found.status == 403
    assert "another page" in found.json["error"]


def test_browsers_leave_out_the_port_of_http() -> None:
    cookie = {"cookie": f"seqvae_play_80={TOKEN}"}
    for host in ("127.0.0.1", "localhost", "localhost:80"):
        assert Guard(80, TOKEN).judge("/", "", {"host": host, "origin": f"http://{host}", **cookie}) is None
        other = Guard(8080, TOKEN).judge("/", "", {"host": host, "cookie": f"seqvae_play_8080={TOKEN}"})
        assert isinstance(other, Refusal)


def test_its_own_page_is_answered(client: Client) -> None:
    for host in client.guard.hosts:
        assert client.post("runs", {}, {"Host": host, "Origin": f"http://{host}"}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/api/runs", None, {}, 405),
        ("DELETE", "/api/runs", None, {}, 405),
        ("POST", "/", b"{}", {}, 405),
        ("POST", "/api/nothing", b"{}", {}, 404),
        ("GET", "/nothing.js", None, {}, 404),
        ("GET", "/index.html", None, {}, 404),
        ("GET", "/../server.py", None, {}, 404),
        ("GET", "/%2e%2e/server.py", None, {}, 404),
        ("GET", "/..%2f..%2fapi.py", None, {}, 404),
        ("GET", "//etc/passwd", None, {}, 404),
        ("GET", "/%3Ftoken=wrong", None, {}, 404),
        ("POST", "/api/runs", b"{", {}, 400),
        ("POST", "/api/runs", b"\xff", {}, 400),
        ("POST", "/api/runs", b"[]", {}, 400),
        ("POST", "/api/runs", b"[" * 50_000, {}, 400),
        ("POST", "/api/sample", b'{"temperature": NaN}', {}, 400),
        ("POST", "/api/sample", b'{"temperature": 1e999}', {}, 400),
        ("POST", "/api/runs", b"{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "/api/runs", b" " * (application.MOST_BYTES + 1), {}, 413),
        ("POST", "/api/model", b'{"run": "nothing"}', {}, 404),
        ("POST", "/api/interpolate", b'{"first": "a", "last": "b", "steps": 1000000}', {}, 400),
    ],
)
def test_a_bad_request_gets_a_reason_in_json(
    client: Client, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    found = client(method, path, body, headers)
    assert found.status == status, found.body
    assert found.headers["content-type"] == "application/json"
    assert found.json["error"]


def test_every_answer_forbids_what_the_page_does_not_need(client: Client) -> None:
    for found in (client("GET", "/"), client("GET", "/frame.css"), client.post("runs", {}), client("GET", "/x")):
        assert {name.lower(): value for name, value in HEADERS.items()}.items() <= found.headers.items()
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_sentences_stay_text(client: Client, text: str) -> None:
    found = client.post("score", {"sentences": [text], "samples": 2})
    assert found.status == 200
    assert found.headers["content-type"] == "application/json"
    assert found.body.isascii()
    assert found.json["sentences"][0]["text"] == text


def test_the_page_names_no_address_and_makes_no_html_of_text() -> None:
    found = pages.files()
    assert {"/", "/main.js", "/frame.css"} <= found.keys()
    for path, file in found.items():
        text = file.content.decode()
        named = text.replace("http://www.w3.org/2000/svg", "").replace("http%3A", "")
        assert "http:" not in named, path
        assert "https:" not in named, path
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="):
            assert word not in text, (path, word)
        assert len(text.splitlines()) <= 350, path


def test_a_client_that_leaves_stops_its_work(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    begun, ended = threading.Event(), threading.Event()

    def slow(request: endpoints.Request) -> endpoints.Answer:
        begun.set()
        try:
            for _ in range(1000):
                request.check()
                ended.wait(0.01)
        except BaseException:
            ended.set()
            raise
        return {}

    monkeypatch.setitem(endpoints.ENDPOINTS, "slow", endpoints.Endpoint(slow, ()))
    connection = http.client.HTTPConnection("127.0.0.1", client.guard.port)
    cookie = f"{client.guard.cookie}={TOKEN}"
    connection.request("POST", "/api/slow", b"{}", {"Content-Type": "application/json", "Cookie": cookie})
    assert begun.wait(10)
    connection.close()
    assert ended.wait(10)
    assert client.post("model", {}).status == 200


def test_a_bug_is_an_answer_with_its_kind(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: endpoints.Request) -> endpoints.Answer:
        raise KeyError("x")

    monkeypatch.setitem(endpoints.ENDPOINTS, "broken", endpoints.Endpoint(broken, ()))
    found = client.post("broken", {})
    assert found.status == 500
    assert "KeyError" in found.json["error"]


def test_a_port_in_use_names_the_next_free_one_and_the_default_moves_on(
    seqvae: Seqvae, trained_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trained_home.is_dir()
    monkeypatch.setattr(server, "serve", lambda *_: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = seqvae("play", "--no-open", "--port", str(port))
        assert answer.code == 5
        assert f"port {port} is in use" in answer.err
        assert "--port " in answer.err
        monkeypatch.setattr(server, "PORT", port)
        answer = seqvae("play", "--no-open", "--json")
        assert answer.code == 0
        assert f"port {port} is in use" in answer.err
        (line,) = answer.lines
        assert not json.loads(line)["url"].startswith(f"http://127.0.0.1:{port}/")


def test_a_missing_extra_and_an_unknown_run_are_refused(
    seqvae: Seqvae, trained_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trained_home.is_dir()
    assert seqvae("play", "nothing", "--no-open").code == 3
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    answer = seqvae("play", "--no-open")
    assert answer.code == 5
    assert 'pip install "seqvae[play]"' in answer.err
    assert answer.out == ""


def test_a_language_model_has_nothing_to_show(
    seqvae: Seqvae, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "serve", lambda *_: None)
    fit(new_run(tiny_corpus, "plain", model__latent_size=0, train__epochs=1), tiny_corpus)
    answer = seqvae("play", "plain", "--no-open")
    assert answer.code == 2
    assert "no latent code" in answer.err
    assert answer.out == ""


def test_ctrl_c_ends_it_at_once_and_quietly(in_home: Path, tmp_path: Path) -> None:
    """While a request is answered by code that does not look whether the client is still there."""
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, time\n"
        "from seqvae_cli.cli import boundary\n"
        "from seqvae_cli.play import endpoints\n"
        "def slow(request):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(100)\n"
        "endpoints.ENDPOINTS['slow'] = endpoints.Endpoint(slow, ())\n"
        "sys.exit(boundary.main(['play', '--no-open', '--json']))\n"
    )
    program = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SEQVAE_HOME": str(in_home)},
    )
    assert program.stdout is not None
    url = json.loads(program.stdout.readline())["url"]
    host, _, query = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", f"/{query}")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (303, b"")
    cookie = answer.headers["set-cookie"].partition(";")[0]
    connection.request("POST", "/api/slow", b"{}", {"Content-Type": "application/json", "Cookie": cookie})
    assert program.stdout.readline() == "begun\n"
    program.send_signal(signal.SIGINT)
    ended = connection.getresponse()
    assert (ended.status, json.loads(ended.read())["error"]) == (503, "the server is ending")
    _, err = program.communicate(timeout=60)
    connection.close()
    assert program.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "error: interrupted"


def talk(client: Client, *parts: bytes) -> bytes:
    """What the server says to raw bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", client.guard.port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        found = b""
        while part := connection.recv(1 << 16):
            found += part
    return found


def head(client: Client, *headers: str) -> bytes:
    guard = client.guard
    own = (f"Host: {guard.hosts[0]}", f"Cookie: {guard.cookie}={TOKEN}", "Content-Type: application/json")
    return "\r\n".join(["POST /api/runs HTTP/1.1", *own, "Connection: close", *headers, "", ""]).encode()


def refused(answer: bytes, status: int) -> str:
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"content-type: application/json" in first.lower()
    return str(json.loads(body)["error"])


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_a_reason_in_json(client: Client, sent: bytes) -> None:
    assert "Invalid HTTP" in refused(talk(client, sent), 400)


def test_a_body_is_refused_by_its_length_before_it_comes(client: Client) -> None:
    assert "65,536 bytes" in refused(talk(client, head(client, "Content-Length: 99999999999")), 413)
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    assert "65,536 bytes" in refused(talk(client, head(client, "Transfer-Encoding: chunked"), chunk * 5), 413)


def test_a_slow_client_is_let_go(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PATIENCE", 0.05)
    assert talk(client) == b""
    assert talk(client, head(client)[:-2]) == b""
    assert "seconds" in refused(talk(client, head(client, "Content-Length: 20"), b"{"), 408)


def test_idle_connections_keep_nobody_out_until_there_are_too_many(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = [socket.create_connection(("127.0.0.1", client.guard.port)) for _ in range(70)]
    try:
        assert client.post("runs", {}).status == 200
        monkeypatch.setattr("seqvae_cli.web.connection.CONNECTIONS", 60)
        found = client.post("runs", {})
        assert (found.status, found.headers["connection"]) == (503, "close")  # kept open, it would get 503 for ever
    finally:
        for one in idle:
            one.close()


@pytest.mark.parametrize("others", ['data={"a":1,b}; {}', "a b=1; ü=2; {}", 'x="a;b\\; {}', "{}; {}x", ";;={};; {}"])
def test_cookies_of_other_servers_do_not_hide_the_token(client: Client, others: str) -> None:
    mine = f"{client.guard.cookie}={TOKEN}"
    assert client("GET", "/", headers={"Cookie": others.replace("{}", mine).encode().decode("latin-1")}).status == 200


@pytest.mark.parametrize("query", ["&".join(["a=1"] * 500), "%ff", "token", "x" * 20_000])
def test_a_query_of_any_kind_is_answered(client: Client, query: str) -> None:
    assert client("GET", f"/?{query}").status == 200
