"""Positions as rotations: a sum of rotated words keeps their order.

Each pair of dimensions has an angle of its own, by which it rotates from one position to the next. Words rotated by
their positions are added up to one vector. Rotating the sum back by position t recovers word t, plus noise that shrinks
as the width grows. Su et al. 2021 ("RoFormer") bind words to positions this way in attention. Holographic reduced
representations (Plate 1995) with vectors of unit spectrum do so in the frequency domain.

The angles are evenly spaced. For even W, positions less than W apart are then orthogonal on average over vectors, and
positions W apart are opposite: choose W larger than the longest sentence.

Shapes: T positions, W dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rotate(values: Tensor, positions: Tensor) -> Tensor:
    """`values` [..., T or 1, W] rotated by `positions` [T] or [..., T]: [..., T, W]. An odd last dimension stays.

    Rotations add up, rotate(rotate(v, a), b) = rotate(v, a + b), and keep the length of a vector.
    """
    pairs = values.size(-1) // 2
    angles = math.pi * (torch.arange(pairs, device=values.device, dtype=torch.float32) + 0.5) / max(pairs, 1)
    rotation = positions[..., None].to(angles) * angles
    cosine, sine = rotation.cos().to(values), rotation.sin().to(values)
    first, second, rest = torch.split(values, [pairs, pairs, values.size(-1) - 2 * pairs], dim=-1)
    both = first * cosine - second * sine, first * sine + second * cosine
    return torch.cat([*both, rest.expand(*both[0].shape[:-1], -1)], dim=-1)
