"""How well each method of `seqvae map` keeps neighbours, and what it costs: the reason for the default.

python -m benchmarks.maps [--run RUN] [--split train] [--sentences 2000 5000]
"""

from __future__ import annotations

import argparse
import time

from seqvae_cli import load
from seqvae_cli.plotting.maps import methods

NEAREST = 10
"""Neighbours of a sentence that should be near on the plane, too."""


def main() -> None:
    from sklearn.manifold import trustworthiness
    from sklearn.neighbors import NearestNeighbors

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="latest")
    parser.add_argument("--split", default="train")
    parser.add_argument("--sentences", type=int, nargs="+", default=[2000, 5000])
    arguments = parser.parse_args()

    def nearest(places: methods.Array) -> list[set[int]]:
        rows = NearestNeighbors(n_neighbors=NEAREST).fit(places).kneighbors(return_distance=False)
        return [set(row) for row in rows.tolist()]

    model = load(arguments.run, device="cpu")
    print(f"{model.name}, {arguments.split}: trustworthiness and share of the {NEAREST} nearest that are kept")
    for count in arguments.sentences:
        means = model.map(split=arguments.split, method="pca", most=count).means
        for name in methods.DEFAULTS:
            start = time.process_time()
            points = methods.place(name, means)
            seconds = time.process_time() - start
            trust = trustworthiness(means, points, n_neighbors=NEAREST)
            pairs = zip(nearest(means), nearest(points), strict=True)
            kept = sum(len(one & other) for one, other in pairs) / (NEAREST * len(means))
            print(f"{len(means):6,} {name:5} {seconds:6.1f} CPU seconds {trust:.3f} {kept:6.1%}", flush=True)


if __name__ == "__main__":
    main()
