"""A run goes to the hub and comes back the same; what is not a run, or not whole, never appears."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable

import pytest
import yaml
from safetensors.torch import load

from seqvae_cli import api
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, MachineError, NotFoundError, SeqvaeError, UsageError
from seqvae_cli.hub import client, layout
from seqvae_cli.hub.pull import pull
from seqvae_cli.hub.push import push
from seqvae_cli.runs import checkpoint, evaluations, loading, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, places
from tests.conftest import Seqvae
from tests.fake_hub import TOKEN, Hub, Repository
from tests.hub.conftest import MINE
from tests.runs.folders import holder

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install '.[hub]'")


# There and back


@pytest.mark.parametrize("lfs", [True, False])
def test_a_run_comes_back_bit_for_bit_but_for_its_last_weights(hub: Hub, run: Run, lfs: bool) -> None:
    hub.lfs = lfs
    model = api.load(run)
    evaluation = model.evaluate(samples=2)
    model.store(evaluation)
    sent = push(run, MINE)
    assert sent.url == f"{hub.address}/{MINE}"
    here, commit = pull(MINE, name="here")
    assert commit == sent.commit == hub.repositories[MINE].sha()
    assert here.info == run.info | {"weights_only": True}
    other = api.load(here)
    assert other.sample(4, seed=3) == model.sample(4, seed=3)
    assert other.encode(["the cat sees the sea"]).tolist() == model.encode(["the cat sees the sea"]).tolist()
    assert other.evaluate(samples=2).to_json()["neg_elbo"] == evaluation.to_json()["neg_elbo"]
    assert [line["neg_elbo"] for line in evaluations.read_all(here, [])] == [evaluation.to_json()["neg_elbo"]]
    assert here.metrics() == run.metrics()
    assert here.tags() == ["paper"]
    assert not (here.path / "last").exists()
    assert not list(places.runs().glob(f"{files.TEMPORARY}*"))


def test_the_repository_is_as_the_hub_lays_models_out(pushed: Repository, run: Run) -> None:
    there = pushed.commits[-1]
    newest = checkpoint.newest(run.path / "best")
    assert there["model.safetensors"] == (newest / "model.safetensors").read_bytes()
    assert there["tokenizer.json"] == (run.path / "tokenizer.json").read_bytes()
    described = json.loads(there["config.json"])
    assert (described["exporter"], described["run"], described["latent_size"]) == ("safetensors", "tiny-run", 4)
    assert described["step"] == api.load(run).step
    assert load(there["model.safetensors"]).keys() == api.load(run).network.state_dict().keys()
    _, front, text = there["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "seqvae",
        "tags": ["seqvae", "sentences", "variational-autoencoder"],
    }
    assert f"seqvae runs pull {MINE}\nseqvae sample tiny-run" in text
    assert not [path for path in there if path.startswith(("last/", "best/", "corpus/"))]


def test_a_licence_stays_and_files_of_an_earlier_push_go(hub: Hub, run: Run, tiny_corpus: Corpus) -> None:
    push(run, MINE, licence="cc-by-4.0", corpus=tiny_corpus)
    assert "corpus/corpus.json" in hub.repositories[MINE].commits[-1]
    hub.repositories[MINE].commits[-1]["notes.txt"] = b"mine"
    push(run, MINE)
    there = hub.repositories[MINE].commits[-1]
    assert b"license: cc-by-4.0\n" in there["README.md"]
    assert there["notes.txt"] == b"mine"
    assert not [path for path in there if path.startswith("corpus/")]


def test_the_corpus_comes_along_where_asked(hub: Hub, run: Run, tiny_corpus: Corpus) -> None:
    push(run, MINE, corpus=tiny_corpus)
    figures = api.load(run).evaluate(samples=2).to_json()["neg_elbo"]
    shutil.rmtree(places.home())
    here, _ = pull(MINE)
    assert here.name == "tiny-run"
    assert loading.load_corpus(here).hash == tiny_corpus.hash
    assert api.load(here).evaluate(samples=2).to_json()["neg_elbo"] == figures
    assert hub.repositories[MINE].private is False


def test_an_older_commit_can_be_had_and_the_card_may_be_edited(hub: Hub, run: Run) -> None:
    first = push(run, MINE).commit
    run.tag(["late"])
    push(run, MINE)
    hub.repositories[MINE].commits[-1]["README.md"] = b"# Mine\n"
    assert pull(MINE, name="new")[0].tags() == ["late", "paper"]
    assert pull(MINE, revision=first, name="old")[0].tags() == ["paper"]


def test_only_the_files_of_the_run_are_loaded(hub: Hub, pushed: Repository) -> None:
    pushed.commits[-1] |= {"pytorch_model.bin": b"pickle", "best/000009/extra.json": b"{}"}
    hub.requests.clear()
    pull(MINE, name="here")
    loaded = {path.split("/", 4)[4] for method, path in hub.requests if "/resolve/" in path and method == "GET"}
    listed = layout.read(pushed.commits[-1]["config.json"], MINE)
    assert loaded == {listed.path(name) for name in listed.files} | {"config.json"}


def test_a_private_repository_needs_the_token(hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    push(run, MINE, private=True)
    assert pull(MINE, name="here")[0].name == "here"
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(run.path / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotFoundError, match="no public repository") as caught:
        pull(MINE, name="other")
    assert "hf auth login" in caught.value.hint
    before = len(hub.requests)
    with pytest.raises(MachineError, match="there is none") as refused:
        push(run, MINE)
    assert refused.value.hint == client.LOG_IN
    assert len(hub.requests) == before


# What is refused


@pytest.mark.parametrize("name", ["me", "me/", "/x", "me/x/y", "me/../x", "https://hf.co/me/x", "me/x\n", "-x/y"])
def test_a_name_that_is_none_of_the_hub_is_wrong_usage(hub: Hub, run: Run, name: str) -> None:
    for call in (lambda: push(run, name), lambda: pull(name)):
        with pytest.raises(UsageError):
            call()
    assert not hub.requests


def push_while_it_trains(run: Run) -> None:
    with holder(run):
        push(run, MINE)


REFUSED: list[tuple[Callable[[Run], object], type[SeqvaeError], str]] = [
    (lambda _: pull("me/other"), NotFoundError, "has no repository me/other"),
    (lambda _: pull(MINE, revision="v9", name="x"), NotFoundError, "no such revision"),
    (lambda _: pull(MINE), UsageError, "exists already"),
    (lambda _: pull(MINE, name="../x"), UsageError, "not a valid name"),
    (lambda run: push(run, "you/sentences"), MachineError, "You don't have the rights"),
    (lambda run: push(run, MINE, licence="none-such"), UsageError, '"license" must be one of'),
    (lambda run: push(run, MINE, licence="mit\npipeline_tag: x"), UsageError, "not a licence"),
    (lambda run: push(run, MINE, private=True), UsageError, "exists and is public"),
    (push_while_it_trains, MachineError, "being trained"),
]


@pytest.mark.parametrize(("act", "kind", "words"), REFUSED)
def test_what_cannot_be_is_one_line(
    pushed: Repository, run: Run, act: Callable[[Run], object], kind: type[SeqvaeError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        act(run)
    assert len(caught.value.message.splitlines()) == 1
    assert len(pushed.commits) == 2
    assert registry.names() == ["tiny-run"]


@pytest.mark.parametrize(
    ("part", "status", "words"),
    [
        ("repos/create", 401, "does not accept your token: so it is told"),
        ("commit/main", 403, "does not allow this to your token: so it is told"),
        ("lfs/", 403, "does not allow this"),
        ("preupload", 418, "answers 418: so it is told"),
    ],
)
def test_what_the_hub_refuses_is_one_line(hub: Hub, run: Run, part: str, status: int, words: str) -> None:
    hub.answers[part] = status
    with pytest.raises(MachineError, match=words):
        push(run, MINE)
    assert [len(repository.commits) for repository in hub.repositories.values()] in ([], [1])


def test_without_a_network_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for call in (lambda: push(run, MINE), lambda: pull(MINE)):
        with pytest.raises(MachineError, match=r"127\.0\.0\.1:9 cannot be reached"):
            call()


def test_a_model_of_another_program_is_neither_pulled_nor_overwritten(hub: Hub, run: Run) -> None:
    foreign = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"}
    hub.repositories[MINE] = Repository(commits=[foreign])
    with pytest.raises(DataError, match="of another program"):
        pull(MINE)
    with pytest.raises(UsageError, match="of another program"):
        push(run, MINE)
    assert hub.repositories[MINE].commits == [foreign]


# The command line, and what else the process does


def test_the_commands_say_where_it_is_and_what_is_next(hub: Hub, run: Run, seqvae: Seqvae) -> None:
    answer = seqvae("runs", "push", "tiny-run", MINE)
    assert (answer.code, answer.out) == (0, f"{hub.address}/{MINE}\n"), answer.err
    assert f"seqvae runs pull {MINE}" in answer.err
    answer = seqvae("runs", "pull", MINE, "--name", "here", "--json")
    assert (answer.code, answer.err) == (0, "")
    there = hub.repositories[MINE]
    found = {"run": "here", "path": str(run.path.with_name("here")), "repository": MINE, "commit": there.sha()}
    assert json.loads(answer.out) == found
    assert seqvae("sample", "-r", "here", "-n", "2").out == seqvae("sample", "-r", "tiny-run", "-n", "2").out


@pytest.mark.parametrize("arguments", [["push", "tiny-run", MINE], ["pull", MINE]])
def test_without_its_package_the_extra_is_named(
    arguments: list[str], seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "find_spec", lambda _: None)
    answer = seqvae("runs", *arguments)
    assert answer.code == 5
    assert 'pip install "seqvae[hub]"' in answer.err


def test_the_client_is_left_as_it_was_and_tells_nothing_of_the_machine(
    hub: Hub, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled

    level = logging.getLogger("huggingface_hub").level
    push(run, MINE)
    push(run, MINE)  # nothing has changed, of which its client warns
    pull(MINE, name="here")
    assert len(hub.repositories[MINE].commits) == 2
    assert not are_progress_bars_disabled()
    assert logging.getLogger("huggingface_hub").level == level
    assert capfd.readouterr() == ("", "")
    assert any(agent.startswith("seqvae/") for agent in hub.agents)
    assert not [agent for agent in hub.agents if "torch" in agent]
