# SPDX-License-Identifier: Apache-2.0
"""Gradients of objectives written in torch. [torch]"""

from __future__ import annotations

from collections.abc import Callable

import torch

from training.paper.baselines.descent import Slope


def slope(objective: Callable[[torch.Tensor], torch.Tensor], count: int, dim: int, dtype: torch.dtype = torch.float32) -> Slope:
    """Slope at the zero step of an objective that gives (B,) values of steps (B, D), each depending on its own step only."""
    step = torch.zeros(count, dim, dtype=dtype, requires_grad=True)
    value = objective(step)
    (gradient,) = torch.autograd.grad(value.sum(), step)
    return Slope(value.detach().numpy(), gradient.numpy())
