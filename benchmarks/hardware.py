"""The machine itself: large matrix products in each precision, and a copy in memory.

python -m benchmarks.hardware --threads 1
"""

from __future__ import annotations

import argparse
import time

from benchmarks import measure

MEGABYTES = 256
"""Of the copied memory: more than any cache holds."""
COPIES = 5


def ours(arguments: argparse.Namespace) -> measure.Result:
    import torch

    from seqvae_cli.system import speed

    measure.use_threads(arguments.threads)
    cpu = torch.device("cpu")
    source = torch.ones(MEGABYTES * 2**18)
    target = torch.empty_like(source)
    target.copy_(source)
    start = time.perf_counter()
    for _ in range(COPIES):
        target.copy_(source)
    seconds = time.perf_counter() - start
    return {
        "float32_gflops": speed.gflops(cpu, torch.float32),
        "bfloat16_gflops": speed.gflops(cpu, torch.bfloat16),
        "copy_gigabytes_per_second": 2 * COPIES * source.nbytes / seconds / 1e9,
    }


if __name__ == "__main__":
    measure.main(__doc__, {"ours": ours}, lambda _: None)
