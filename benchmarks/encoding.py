"""Encoding: sentences a second of the test split, ours in batches against one sentence at a time.

python -m benchmarks.encoding --way ours
"""

from __future__ import annotations

import argparse

from benchmarks import measure, reference


def ours(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli import api
    from seqvae_cli.data import corpus
    from seqvae_cli.latent import generate
    from seqvae_cli.runs import registry

    measure.use_threads(arguments.threads)
    model = api.load(registry.find(arguments.run)).network
    sentences = list(corpus.find(arguments.corpus).split("test"))
    list(generate.encode(model, sentences[:256]))
    took = measure.seconds(lambda: list(generate.encode(model, sentences)))
    return {"sentences": len(sentences), "sentences_per_second": len(sentences) / took, "seconds": took}


def single(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli import api
    from seqvae_cli.data import corpus
    from seqvae_cli.runs import registry

    measure.use_threads(arguments.threads)
    model = api.load(registry.find(arguments.run)).network
    sentences = list(corpus.find(arguments.corpus).split("test"))[:: arguments.every]
    reference.encode(model, sentences[0])
    took = measure.seconds(lambda: [reference.encode(model, words) for words in sentences])
    return {"sentences": len(sentences), "sentences_per_second": len(sentences) / took, "seconds": took}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--every", type=int, default=4, help="`single`: every n-th sentence")


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours, "single": single}, options)
