# SPDX-License-Identifier: Apache-2.0
"""One training run by several processes, which torchrun starts: each makes its share of the batches. [torch]

Of a run's batches 0, 1, 2, ... rank r of W takes r, r + W, ..., and all take a step with the mean of their gradients.  So the
result depends on how many there are, and on nothing else.  Rank 0 alone writes into the run's folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar, cast

import torch
from torch import distributed

from solver_core.errors import ConfigError

Shared = TypeVar("Shared")


class Ranks(NamedTuple):
    """rank: which of `count` processes this one is.  on_machine: how many are on this machine."""

    rank: int = 0
    count: int = 1
    on_machine: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def shared(self, read: Callable[[], Shared]) -> Shared:
        """What `read` gives the first rank, the only one that calls it."""
        parts = [read() if self.is_first else None]
        if self.count > 1:
            distributed.broadcast_object_list(parts, src=0)
        return cast(Shared, parts[0])

    def average_gradients_inplace(self, parameters: Iterable[torch.nn.Parameter], is_asked: bool) -> bool:
        """Sets gradients to their means over all ranks; returns whether any rank is asked to stop."""
        if self.count == 1:
            return is_asked
        parameters = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flag = torch.full((1,), float(is_asked), device=gradients[0].device)
        total = torch.cat([*(gradient.flatten() for gradient in gradients), flag])
        distributed.all_reduce(total)
        start = 0
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = total[start : start + gradient.numel()].view_as(gradient) / self.count
            start += gradient.numel()
        return bool(total[-1] > 0)


@contextmanager
def joined_ranks(device: str) -> Iterator[tuple[Ranks, str]]:
    """The ranks that torchrun has started, or the only one, and the device of this one.

    device: such as "cuda", of which each rank of a machine gets its own.  Raises ConfigError if the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(), device
        return
    is_cuda = device == "cuda"
    if is_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        distributed.init_process_group("nccl" if is_cuda else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"cannot reach the other processes of this run: {error}; start it with torchrun") from error
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), int(os.environ["LOCAL_WORLD_SIZE"])), device
    finally:
        distributed.destroy_process_group()
