# SPDX-License-Identifier: Apache-2.0
"""Programs of any language as a forward process: a process for every run, some at a time, ended at a time limit."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.checks import checked_count, is_number
from solver_core.errors import ConfigError, SetupError, SolverError, plain_line, shown
from solver_core.reading import numbers, read_arrays, read_json, reading

FORMATS = ("json", "npz")
LONGEST_TIMEOUT = 1e6  # seconds, twelve days; the system counts no more than some hundred

logger = logging.getLogger(__name__)


class Executable:
    """A forward process that is a program: called with x (B, ...), it gives y (B, ...), nan where a run failed.

    The program reads {"x": numbers} and writes {"y": numbers}: JSON from its standard input to its standard output or, where
    the command has {input} and {output} in it, files of these paths, JSON or npz.  A run that ends with another exit code
    than 0, takes too long or writes something else has failed; that is a result, and the first is told in the log.

    Args:
        command: the program and its arguments, such as ["./simulate", "{input}", "{output}"].
        format: "json" or "npz", which needs {input} and {output}.
        timeout: seconds after which a run is ended, with all processes that it started.
        processes: runs at a time; None = one a core.

    Raises:
        ConfigError: for a command, format, time limit or number that cannot be.
    """

    is_batched = True

    def __init__(
        self, command: Sequence[str | Path], format: str = "json", timeout: float = 60.0, processes: int | None = None
    ) -> None:
        if not isinstance(command, list | tuple) or not command or not all(isinstance(part, str | Path) for part in command):
            raise ConfigError(f"a command must be a list of a program and its arguments, got {shown(command)}")
        self.command = [str(part) for part in command]
        self.uses_files = any("{output}" in part for part in self.command)
        if not isinstance(format, str) or format not in FORMATS or (format == "npz" and not self.uses_files):
            raise ConfigError(f"format must be json, or npz for a command with {{input}} and {{output}}, got {shown(format)}")
        if not is_number(timeout) or not 0 < timeout <= LONGEST_TIMEOUT:
            raise ConfigError(f"timeout must be a positive number of seconds up to {LONGEST_TIMEOUT:g}, got {shown(timeout)}")
        processes = None if processes is None else checked_count(processes, "processes")
        self.format, self.timeout, self.processes = format, timeout, processes or os.cpu_count() or 1
        self.shape: tuple[int, ...] | None = None  # of y, from the first run that did not fail
        self.failures: list[str] = []  # what the first run that failed said, if one did

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(B, ...) float64.  Raises SetupError if no run, in this call or before, has shown what y looks like."""
        with ThreadPoolExecutor(self.processes) as pool:
            runs = list(pool.map(self._run, np.asarray(x, dtype=float)))
        for run in runs:
            if isinstance(run, SolverError):
                self._tell(run)
            elif self.shape is None:
                self.shape = run.shape
        if self.shape is None:
            raise SetupError(f"every run of {self.command[0]} failed, the first with: {runs[0]}")
        failed = np.full(self.shape, np.nan)
        return np.stack([run if isinstance(run, np.ndarray) and run.shape == self.shape else failed for run in runs])

    def _run(self, x: np.ndarray) -> np.ndarray | SolverError:
        """y, or what went wrong."""
        try:
            with tempfile.TemporaryDirectory(prefix="solver_core-") as folder:
                return self._run_in(Path(folder), x)
        except SolverError as error:
            return error

    def _run_in(self, folder: Path, x: np.ndarray) -> np.ndarray:
        given, written = (folder / f"{name}.{self.format}" for name in ("input", "output"))
        content = json.dumps({"x": x.tolist()})
        if self.uses_files:
            if self.format == "npz":
                np.savez(given, x=x)
            else:
                given.write_text(content, encoding="utf-8")
        command = [part.replace("{input}", str(given)).replace("{output}", str(written)) for part in self.command]
        output = self._output(command, None if self.uses_files else content.encode())
        if not self.uses_files:
            written.write_bytes(output)
        if not written.exists():
            raise SetupError(f"{self.command[0]} wrote no {written.name}")
        with reading(written, "output", SetupError):
            answer: Any = read_arrays(written) if self.format == "npz" else read_json(written, "output")
            if not isinstance(answer, dict) or "y" not in answer:
                found = list(answer) if isinstance(answer, dict) else answer
                raise SetupError(f"{self.command[0]} wrote nothing under the key 'y', only {shown(found)}")
            y = answer["y"]
            y = y if isinstance(y, np.ndarray) else numbers(y, np.shape(y), "y")
            return y.astype(float)

    def _output(self, command: list[str], given: bytes | None) -> bytes:
        """What a run prints.  Raises SetupError."""
        pipe = subprocess.PIPE
        try:  # a session of its own, so that what it starts can be ended with it
            process = subprocess.Popen(
                command, stdin=pipe if given else subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except (OSError, ValueError) as error:
            raise SetupError(f"cannot start {self.command[0]}: {getattr(error, 'strerror', None) or error}") from error
        try:
            output, complaint = process.communicate(given, timeout=self.timeout)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise SetupError(f"{self.command[0]} took longer than {self.timeout:g} s") from error
        if process.returncode != 0:
            words = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            raise SetupError(f"{self.command[0]} ended with exit code {process.returncode}: {plain_line(words)}")
        return output

    def _tell(self, error: SolverError) -> None:
        if not self.failures:
            logger.warning("a run failed, which counts as no answer; later ones are not told: %s", error)
            self.failures.append(str(error))


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.communicate()
