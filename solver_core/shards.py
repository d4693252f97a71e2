# SPDX-License-Identifier: Apache-2.0
"""Parts of a list of tasks, for several processes or machines that share a folder of results."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from solver_core.locking import one_of_many_writers, sole_writer

Task = TypeVar("Task")


class Shard(NamedTuple):
    """Every task whose number, from 1 on, leaves the same remainder as `number` when divided by `count`."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A flag's I/N.  Raises ArgumentTypeError."""
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and len(text) < 12 and 1 <= int(number) <= int(count)):
            raise argparse.ArgumentTypeError(f"must be a part of the whole, from 1/N to N/N, not '{text}'")
        return cls(int(number), int(count))

    def of(self, tasks: Sequence[Task]) -> Sequence[Task]:
        return tasks[self.number - 1 :: self.count]


@contextmanager
def writing_to(folder: Path, shard: Shard | None) -> Iterator[None]:
    """Keeps others out of a folder: a whole run all of them, a shard whole runs and itself.  Raises ConfigError."""
    if shard is None:
        with sole_writer(folder):
            yield
    else:
        with one_of_many_writers(folder), sole_writer(folder, f".solver_core.shard-{shard.number}-of-{shard.count}.lock"):
            yield
