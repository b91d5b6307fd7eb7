"""Encodes a column of Parquet files with Ray Data, on all machines of a cluster.

    pip install "seqvae[parquet]" "ray[data]"
    python examples/encode_with_ray.py reviews/ codes/ --column text --concurrency 8

It writes Parquet files into the folder codes/: the columns there were, and `mean`, the posterior mean of each sentence,
an array of L numbers. A sentence without words has NaN. Without a cluster Ray starts one on this machine; on a cluster
(`ray job submit`, or RAY_ADDRESS) every machine needs seqvae and the folders: a shared disk, s3://..., gs://....
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pyarrow
import ray

from seqvae_cli import load


class Encoder:
    """An actor: a process of its own, which loads the model once."""

    def __init__(self, run: str, column: str) -> None:
        self.column, self.model = column, load(run)

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        # A missing value is a sentence without words.
        sentences = [sentence or "" for sentence in table[self.column].to_pylist()]
        none = np.full(self.model.latent_size, np.nan, np.float32)
        means = [none if found is None else found.mean for _, found in self.model.encode_stream(sentences)]
        values = pyarrow.array(np.concatenate(means)) if means else pyarrow.array([], pyarrow.float32())
        return table.append_column("mean", pyarrow.FixedSizeListArray.from_arrays(values, self.model.latent_size))


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode a column of Parquet files with Ray Data.")
    parser.add_argument("source", help="Parquet files: a file, a folder, or an address that Ray reads")
    parser.add_argument("target", help="the folder that the files are written into")
    parser.add_argument("--column", default="text", help="the column with a sentence a row")
    parser.add_argument("--run", default="latest", help="a run of the home on each machine, or the folder of one")
    parser.add_argument("--concurrency", type=int, default=2, help="actors at most; Ray keeps cores free to read")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of an actor")
    options = parser.parse_args()
    arguments: dict[str, Any] = {"fn_constructor_args": (options.run, options.column), "num_gpus": options.gpus}
    rows = ray.data.read_parquet(options.source)
    codes = rows.map_batches(
        Encoder, batch_format="pyarrow", batch_size=2048, concurrency=(1, options.concurrency), **arguments
    )
    codes.write_parquet(options.target)


if __name__ == "__main__":
    main()
