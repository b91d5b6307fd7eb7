"""`runs push` and `runs pull`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.options import Json, NewName, RequiredRun
from seqvae_cli.errors import DataError, NotFoundError

Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the hub.")]


def push(
    run: RequiredRun,
    repository: Repository,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    licence: Annotated[str, typer.Option("--license", metavar="ID", help="As the hub names it: mit, cc-by-4.0")] = "",
    with_corpus: Annotated[
        bool, typer.Option("--with-corpus", help="Send its corpus, too: the run can be evaluated elsewhere.")
    ] = False,
    json: Json = False,
) -> None:
    """Send a run to a repository of the Hugging Face hub: its best weights, and what it takes to use them.

    The repository is made where it does not exist, public unless --private. It gets config.json, model.safetensors, a
    model card, settings, tokenizer, metrics and evaluations. With --with-corpus it has the text that the run was
    trained on: mind its licence.

    It needs a token that may write: `hf auth login`, or HF_TOKEN. No other command than this one and `runs pull`
    reaches the hub.

    Examples:

        seqvae runs push toy-default-1 me/toy-sentences --license mit
        seqvae runs push best me/mail --private
    """
    from seqvae_cli.hub import client

    client.check(repository)
    from seqvae_cli.cli.progress import working
    from seqvae_cli.hub import push as hub
    from seqvae_cli.runs import loading, registry

    found = registry.find(run)
    corpus = loading.load_corpus(found) if with_corpus else None
    with working(f"pushing {found.name}"):
        pushed = hub.push(found, repository, private=private, licence=licence, corpus=corpus)
    if json:
        answer = {"run": found.name, "repository": repository, "url": pushed.url, "commit": pushed.commit}
        display.out_json(answer)
        return
    display.out(pushed.url)
    display.say(f"run {found.name}, {pushed.files} files in {display.quantity(pushed.size, 'bytes')}")
    display.say(f"to bring it elsewhere: seqvae runs pull {repository}")


def pull(
    repository: Repository,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="REV", help="A branch, a tag or a commit [default: main].")
    ] = None,
    name: NewName = None,
    json: Json = False,
) -> None:
    """Bring a run from a repository of the Hugging Face hub, to which `runs push` sent it.

    Files that are not of the run stay there. The run appears once every file is verified. A private repository needs a
    token: `hf auth login`, or HF_TOKEN.

    Examples:

        seqvae runs pull me/toy-sentences
        seqvae runs pull me/toy-sentences --revision v1 --name from-the-hub
    """
    from seqvae_cli.hub import client

    client.check(repository)
    from seqvae_cli.hub import pull as hub
    from seqvae_cli.runs import loading

    with display.progress("pulling", None, "bytes") as advance:
        run, commit = hub.pull(repository, revision=revision, name=name, watch=advance)
    if json:
        display.out_json({"run": run.name, "path": str(run.path), "repository": repository, "commit": commit})
        return
    display.out(run.name)
    with suppress(NotFoundError, DataError):
        display.say(f"its corpus is here: {loading.load_corpus(run).path.name}")
    display.say(f"next: seqvae sample {run.name}")
