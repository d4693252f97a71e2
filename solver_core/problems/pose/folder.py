# SPDX-License-Identifier: Apache-2.0
"""Which files are the images of a folder or pattern, in the order in which they were filmed."""

from __future__ import annotations

import re
from pathlib import Path

from solver_core.command.files import IMAGE_SUFFIXES
from solver_core.errors import ConfigError


def is_pattern(path: Path) -> bool:
    """Whether a path stands for several files, such as frames/*.png."""
    return any(letter in path.name for letter in "*?") and not path.exists()


def images_of(path: Path, kind: str) -> list[Path]:
    """Images of a folder, or files of a pattern, by the numbers in their names.  Raises ConfigError if there are none.

    kind: "mask" or "photo".
    """
    if path.is_dir():
        found = [file for file in path.iterdir() if _is_shown(file) and file.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            raise ConfigError(f"there are no {kind}s in the folder {path}; their names must end in {', '.join(IMAGE_SUFFIXES)}")
    else:
        found = [file for file in path.parent.glob(path.name) if _is_shown(file)]
        if not found:
            raise ConfigError(f"no file matches {path}; check the folder and the pattern")
    return sorted(found, key=_in_order)


def _is_shown(path: Path) -> bool:
    """Whether it is a file that is not hidden, as those are that macOS puts beside others."""
    return not path.is_dir() and not path.name.startswith(".")


def _in_order(path: Path) -> list[tuple[int, str]]:
    """frame2 before frame10, whatever else the names hold."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]
