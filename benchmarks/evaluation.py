"""The importance-weighted bound: decoder tokens a second on the test split (every n-th sentence of it).

python -m benchmarks.evaluation --samples 500 --every 40
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks import measure


class _EveryNth:
    """Every n-th sentence of a split."""

    def __init__(self, split: object, every: int) -> None:
        self.sentences = list(split)[::every]  # type: ignore[call-overload]

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> np.typing.NDArray[np.int64]:
        ids: np.typing.NDArray[np.int64] = self.sentences[index]
        return ids

    @property
    def lengths(self) -> np.typing.NDArray[np.int64]:
        return np.array([len(ids) for ids in self.sentences], dtype=np.int64)


def ours(arguments: argparse.Namespace) -> measure.Result:
    from seqvae_cli import api
    from seqvae_cli.data import corpus
    from seqvae_cli.evaluation import bounds
    from seqvae_cli.runs import registry

    measure.use_threads(arguments.threads)
    model = api.load(registry.find(arguments.run)).network
    part = _EveryNth(corpus.find(arguments.corpus).split("test"), arguments.every)
    bounds.iw_nll(model, part, samples=2)
    took = measure.seconds(lambda: bounds.iw_nll(model, part, samples=arguments.samples))
    tokens = (int(part.lengths.sum()) + len(part)) * arguments.samples
    return {"samples": arguments.samples, "tokens": tokens, "tokens_per_second": tokens / took, "seconds": took}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--every", type=int, default=40)


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours}, options)
