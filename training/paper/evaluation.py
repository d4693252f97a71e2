# SPDX-License-Identifier: Apache-2.0
"""Tables of measured numbers, where each number comes from, and the plots that go with them.

A table is a module with TITLE, NUM_SAMPLES, QUICK_SAMPLES and rows(run) -> list of Row.  It draws its test samples from
run.seed, measures every method with run.measure, and may add plots and pictures to the run.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from solver_core.errors import ConfigError
from solver_core.reading import read_arrays, reading
from solver_core.writing import make_folder, whole_file
from training.paper.plots import Plot
from training.paper.provenance import machine, source_revision

logger = logging.getLogger(__name__)

TABLES = {
    "table1": "training.paper.tables.table1",
    "table2": "training.paper.tables.table2",
    "table3": "training.paper.tables.table3",
    "table4": "training.paper.tables.table4",
    "table5": "training.paper.tables.table5",
    "figure5": "training.paper.tables.figure5",
    "ablations": "training.paper.tables.ablations",
    "damaged": "training.paper.tables.damaged",
    "no_start": "training.paper.tables.no_start",
    "several_views": "training.paper.tables.several_views",
    "own_mesh": "training.paper.tables.own_mesh",
    "light_trust": "training.paper.tables.light_trust",
    "light_real": "training.paper.tables.light_real",
    "light_scenes": "training.paper.tables.light_scenes",
    "light_several": "training.paper.tables.light_several",
    "photo": "training.paper.tables.photo",
    "track": "training.paper.tables.track",
    "noise": "training.paper.tables.noise",
    "rigs": "training.paper.tables.rigs",
}
CHUNK_SIZE = 25  # samples measured between two savings
Row = dict[str, str | float | int]
Errors = dict[str, np.ndarray]  # one array a quantity, its first axis the samples
OnProgress = Callable[[str, int, int], None]  # what is measured, samples done, samples in all


@dataclass
class Run:
    """One measurement of a table under way.

    parts: folder that keeps what was measured so far, so that a run that was killed goes on; None keeps nothing.
    plots, pictures: what the table adds to them; a picture is a function that gives its (H, W, 3) uint8.
    revisions: of the code that measured, more than one if it changed between a kill and the next start.
    """

    table: str
    data: Path
    num_samples: int
    seed: int = 0
    parts: Path | None = None
    on_progress: OnProgress = lambda label, done, total: None
    plots: list[Plot] = field(default_factory=list)
    pictures: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    revisions: set[str] = field(default_factory=set)

    def measure(
        self,
        label: str,
        count: int,
        method: Callable[[np.ndarray], Errors],
        settings: object = None,
        chunk_size: int = CHUNK_SIZE,
    ) -> Errors:
        """What a method gives for samples 0 .. count, measured or read back chunk by chunk.

        label: names method and samples, distinct within a table.  method(rows) measures samples rows (B,); what it gives
        may depend on nothing else, so random numbers come from the number of the sample.  settings: of the method;
        with others it is measured anew.
        """
        chunks = []
        for first in range(0, count, chunk_size):
            self.on_progress(label, first, count)
            chunks.append(self._chunk(f"{label}, {settings}", np.arange(first, min(first + chunk_size, count)), method))
        self.on_progress(label, count, count)
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _chunk(self, key: str, rows: np.ndarray, method: Callable[[np.ndarray], Errors]) -> Errors:
        if self.parts is None:
            self.revisions.add(_revision())
            return method(rows)
        identity = repr((self.table, self.num_samples, self.seed, key, rows[0], rows[-1]))
        path = self.parts / f"{self.table}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
        if path.exists():
            with reading(path, "part of a table", ConfigError):
                errors = read_arrays(path)
        else:
            errors = {**method(rows), "revision": np.array(_revision())}
            content: dict[str, Any] = errors  # NumPy's stub takes the names for options
            make_folder(self.parts)
            with whole_file(path, "part") as part:
                np.savez(part, **content)
        self.revisions.add(str(errors.pop("revision")))
        return errors


@dataclass(frozen=True)
class Table:
    """Rows of one measurement, what it takes to repeat it, and curves; a row lacks a key where it has no such number."""

    name: str
    title: str
    rows: list[Row]
    command: str
    num_samples: int
    seed: int
    machine: str
    threads: int
    commit: str
    plots: list[Plot] = field(default_factory=list)

    def to_markdown(self) -> str:
        keys = list(dict.fromkeys(key for row in self.rows for key in row))
        lines = [" | ".join(key.replace("_", " ") for key in keys), " | ".join("---" for _ in keys)]
        lines += [" | ".join(_cell(row.get(key, "")) for key in keys) for row in self.rows]
        body = "\n".join(f"| {line} |" for line in lines)
        source = f"N = {self.num_samples}, seed {self.seed}, commit {self.commit}, {self.machine}, {self.threads} thread(s)"
        return f"### {self.title}\n\n`{self.command}`\n\n{source}\n\n{body}\n"

    def put_into(self, text: str) -> str:
        """A text of results with this table in the place of its last measurement, what is written around it untouched.

        At the end where there was none.
        """
        before, heading, rest = text.partition(f"### {self.title}\n")
        if not heading:
            return "\n".join(filter(None, (text, self.to_markdown())))
        lines = rest.splitlines(keepends=True)
        first = next((number for number, line in enumerate(lines) if line.startswith("|")), len(lines))
        after = next((number for number, line in enumerate(lines) if number > first and not line.startswith("|")), len(lines))
        return before + self.to_markdown() + "".join(lines[after:])


def table_size(table: str, is_quick: bool = False) -> int:
    """How many samples a table measures: the protocol's number, or few.  Raises ConfigError for an unknown table."""
    module = _module(table)
    return module.QUICK_SAMPLES if is_quick else module.NUM_SAMPLES


def evaluate(run: Run) -> Table:
    """Measures a table on the test data.  Raises ConfigError for an unknown table or unusable data."""
    module = _module(run.table)
    if run.num_samples < 1:
        raise ConfigError(f"a table needs at least one sample, got {run.num_samples}")
    rows = module.rows(run)
    command = f"python -m training.paper {run.table} --data DATA --samples {run.num_samples} --seed {run.seed}"
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    commit = ", ".join(sorted(run.revisions)) or _revision()
    return Table(run.table, module.TITLE, rows, command, run.num_samples, run.seed, machine(), threads, commit, run.plots)


def warn_missing(row: str, weights: Path) -> None:
    """Says why a table lacks a row: its weights are measured, not shipped, and have the name of their recipe."""
    logger.warning("no row for %s: %s is missing; train training/configs/%s.toml into that folder", row, weights, weights.stem)


def _module(table: str) -> ModuleType:
    if table not in TABLES:
        raise ConfigError(f"unknown table {table!r}; known: {', '.join(TABLES)}")
    return importlib.import_module(TABLES[table])


@functools.cache
def _revision() -> str:
    return source_revision()


def _cell(value: str | float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
