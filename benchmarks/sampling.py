"""Sampling: sentences a second, greedy, ours in batches against one sentence at a time.

python -m benchmarks.sampling --way ours --sentences 10000
"""

from __future__ import annotations

import argparse

from benchmarks import measure, reference


def ours(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli import api
    from seqvae_cli.latent import generate
    from seqvae_cli.latent.strategy import GREEDY
    from seqvae_cli.runs import registry

    measure.use_threads(arguments.threads)
    model = api.load(registry.find(arguments.run)).network
    list(generate.sample(model, 256, GREEDY))
    words: list[int] = []
    took = measure.seconds(lambda: words.extend(map(len, generate.sample(model, arguments.sentences, GREEDY))))
    return _result(words, took)


def single(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli import api
    from seqvae_cli.latent import generate
    from seqvae_cli.runs import registry
    from seqvae_cli.system.runtime import stream

    measure.use_threads(arguments.threads)
    model = api.load(registry.find(arguments.run)).network
    # The first of the codes that `ours` decodes.
    codes = generate.prior_codes(model, (stream(0, i) for i in range(arguments.singles)))
    reference.greedy(model, codes[0], generate.MAX_LEN)
    words: list[int] = []
    took = measure.seconds(lambda: words.extend(len(reference.greedy(model, code, generate.MAX_LEN)) for code in codes))
    return _result(words, took)


def _result(words: list[int], took: float) -> measure.Result:
    return {
        "sentences": len(words),
        "words_per_sentence": sum(words) / len(words),
        "sentences_per_second": len(words) / took,
        "seconds": took,
    }


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sentences", type=int, default=10_000)
    parser.add_argument("--singles", type=int, default=300, help="sentences decoded one at a time")


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours, "single": single}, options)
