# SPDX-License-Identifier: Apache-2.0
"""Flags that say where an object is in a photograph, and the mask that comes of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.command.masks import read_mask
from solver_core.command.pictures import write_picture
from solver_core.errors import ObservationError


def add_hints(parser: argparse.ArgumentParser, title: str) -> Any:
    """Adds the flags that read_hints reads; returns their group."""
    hints = parser.add_argument_group(title)
    hints.add_argument("--box", metavar="L,T,R,B", help="left, top, right and bottom of a box around it, pixels")
    hints.add_argument("--lasso", metavar="X,Y,...", help="columns and rows of the corners of a polygon around it, pixels")
    hints.add_argument("--inside", type=Path, metavar="IMAGE", help="white where strokes are on the object")
    hints.add_argument("--outside", type=Path, metavar="IMAGE", help="white where strokes are beside the object")
    return hints


def write_mask(path: Path, coverage: np.ndarray) -> None:
    """An image that is white where an object covers all of a pixel.  Raises ConfigError if it cannot be written."""
    write_picture(path, np.round(255 * coverage[..., None]).astype(np.uint8).repeat(3, axis=2))


def read_hints(args: argparse.Namespace) -> dict[str, Any]:
    """Box, lasso and strokes as mask_from_image takes them."""
    lasso = _numbers_of(args.lasso, "--lasso")
    if lasso is not None and len(lasso) % 2:
        raise ObservationError(f"--lasso must be columns and rows in turn, got {len(lasso)} numbers")
    return {
        "box": box_of(args.box),
        "lasso": None if lasso is None else np.reshape(lasso, (-1, 2)),
        **{name: None if path is None else read_mask(path).coverage >= 0.5 for name, path in _strokes(args).items()},
    }


def box_of(text: str | None) -> list[float] | None:
    """Left, top, right and bottom of --box.  Raises ObservationError."""
    box = _numbers_of(text, "--box")
    if box is not None and (len(box) != 4 or not np.isfinite(box).all()):
        raise ObservationError(f"--box must be four numbers, left, top, right and bottom in pixels, got {text!r}")
    return box


def _strokes(args: argparse.Namespace) -> dict[str, Path | None]:
    return {"inside": args.inside, "outside": args.outside}


def _numbers_of(text: str | None, option: str) -> list[float] | None:
    """Numbers between commas.  Raises ObservationError."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ObservationError(f"{option} must be numbers with commas between them, got {text!r}") from error
