"""What commands say: results as JSON on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from solver_core.errors import ConfigError
from solver_core.optional import needed_for


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
