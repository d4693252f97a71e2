"""Tables of measured numbers, and where each number comes from."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path

from solver_core.errors import ConfigError
from solver_core.training.provenance import machine, source_revision

TABLES = {
    "table1": "solver_core.training.tables.table1",
    "table4": "solver_core.training.tables.table4",
    "table5": "solver_core.training.tables.table5",
}
Row = dict[str, str | float | int]


@dataclass(frozen=True)
class Table:
    """Rows of one measurement with the same keys each, and what it takes to repeat it."""

    name: str
    title: str
    rows: list[Row]
    command: str
    num_samples: int
    seed: int
    machine: str
    threads: int
    commit: str

    def to_markdown(self) -> str:
        keys = list(self.rows[0])
        lines = [" | ".join(key.replace("_", " ") for key in keys), " | ".join("---" for _ in keys)]
        lines += [" | ".join(_cell(row[key]) for key in keys) for row in self.rows]
        body = "\n".join(f"| {line} |" for line in lines)
        source = f"N = {self.num_samples}, seed {self.seed}, commit {self.commit}, {self.machine}, {self.threads} thread(s)"
        return f"### {self.title}\n\n`{self.command}`\n\n{source}\n\n{body}\n"


def evaluate(name: str, data: Path, num_samples: int | None = None, seed: int = 0) -> Table:
    """Measures a table on the test data.  num_samples: None takes the protocol's number.

    Raises ConfigError for an unknown table or unusable data.
    """
    if name not in TABLES:
        raise ConfigError(f"unknown table {name!r}; known: {', '.join(TABLES)}")
    module = importlib.import_module(TABLES[name])
    count: int = module.NUM_SAMPLES if num_samples is None else num_samples
    if count < 1:
        raise ConfigError(f"a table needs at least one sample, got {count}")
    rows = module.rows(data, count, seed)
    command = f"solver_core evaluate {name} --data DATA --samples {count} --seed {seed}"
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    return Table(name, module.TITLE, rows, command, count, seed, machine(), threads, source_revision())


def _cell(value: str | float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
