"""What commands say: results as JSON on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver_core.errors import ConfigError
from solver_core.optional import needed_for

if TYPE_CHECKING:
    from rich.progress import TaskID


def print_result(content: dict[str, Any], path: Path | None = None) -> None:
    """Prints a result and, if a path is given, writes the same there.  Raises ConfigError if it cannot be written."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    sys.stdout.write(text)
    if path is not None:
        write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Writes a file the user asked for.  Raises ConfigError if it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """What a file that will be written holds so far; nothing if it is not there.  Raises ConfigError if it is no text."""
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot add to {path}, which is no text that can be read ({error}); give another file") from error


def make_folder(path: Path) -> None:
    """Makes a folder the user asked for, unless it is there.  Raises ConfigError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path}: {error.strerror or error}") from error


def natural_number(text: str) -> int:
    """A whole number from 0 on, as the type of an option."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 on, got {text!r}")
    return int(text)


def print_note(sentence: str) -> None:
    """A sentence for the person in front of the screen."""
    sys.stderr.write(f"solver_core: {sentence}\n")


def show_log() -> None:
    """Shows what the library logs, progress of a training run for example."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """A line that moves while the block runs; call what it gives to change the words after the title."""
    with needed_for("showing progress", extra="cli"):
        from rich.console import Console
    with Console(stderr=True).status(title) as status:
        yield lambda words: status.update(f"{title}: {words}")


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars that fill while the block runs; call what it gives with a label, how much is done, and how much there is."""
    with needed_for("showing progress", extra="cli"):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        known: dict[str, TaskID] = {}

        def show(label: str, done: int, total: int) -> None:
            if label not in known:
                known[label] = bars.add_task(label, total=total)
            bars.update(known[label], completed=done)

        yield show
