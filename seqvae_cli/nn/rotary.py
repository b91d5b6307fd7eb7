"""Positions as rotations, by which a sum of words keeps their order.

Each pair of dimensions turns by an angle of its own from one position to the next. Words that are turned by their
positions can be added up to one vector; that turned back by a position shows the word there, and the others as noise,
which is the less the more dimensions there are. So are words bound to positions in the attention of Su et al. 2021
("RoFormer"), and in holographic reduced representations (Plate 1995) with vectors whose spectrum has length 1: binding
then turns each pair in the frequency domain. The angles here are evenly spaced, since so, for even W, positions less
than W apart are orthogonal on the average over vectors; W apart they are opposite, so that a code wants more dimensions
than a sentence has words.

Shapes: T positions, W dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def turn(values: Tensor, positions: Tensor) -> Tensor:
    """`values` [..., T or 1, W] turned by the `positions` [T], [..., T, W]; an odd last dimension stays as it is.

    turn(turn(v, a), b) is turn(v, a + b), and lengths stay what they are.
    """
    pairs = values.size(-1) // 2
    angles = math.pi * (torch.arange(pairs, device=values.device) + 0.5) / max(pairs, 1)
    turned = positions[:, None].to(angles) * angles
    cosine, sine = turned.cos().to(values), turned.sin().to(values)
    first, second, rest = torch.split(values, [pairs, pairs, values.size(-1) - 2 * pairs], dim=-1)
    both = first * cosine - second * sine, first * sine + second * cosine
    return torch.cat([*both, rest.expand(*both[0].shape[:-1], -1)], dim=-1)
