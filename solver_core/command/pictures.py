# SPDX-License-Identifier: Apache-2.0
"""Draws results: contours over a picture, panels with captions, animations.  Needs pillow (the `cli` extra).

A picture is (H, W, 3) uint8 sRGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.optional import needed_for
from solver_core.render import signed_distance
from solver_core.writing import whole_file

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
ORANGE: Colour = (255, 149, 0)
CYAN: Colour = (0, 229, 255)
BACKGROUND: Colour = (24, 26, 30)

LINE_PX = 2.4
HALO_PX = 5.5  # a dark rim, so that a line shows on any ground
HALO_OPACITY = 0.45
CAPTION_PX = 34  # height of the strip under a panel
FONT_PX = 19
GAP_PX = 8  # between panels
LAST_FRAME_TIMES = 5  # the result of an animation stays this many times longer


class Contour(NamedTuple):
    """Outline of a mask (H, W) bool."""

    mask: np.ndarray
    colour: Colour


class Panel(NamedTuple):
    picture: np.ndarray
    caption: str


def draw_contours(picture: np.ndarray, contours: Sequence[Contour]) -> np.ndarray:
    """A copy of the picture (H, W, 3) with the outline of each mask (H, W), later ones on top."""
    drawn = picture.astype(np.float32)
    distances = np.abs(signed_distance(np.stack([contour.mask for contour in contours])))
    for distance, contour in zip(distances, contours, strict=True):
        halo = HALO_OPACITY * _opacity(distance, HALO_PX)
        line = _opacity(distance, LINE_PX)
        drawn *= 1 - halo
        drawn += line * (np.array(contour.colour, np.float32) - drawn)
    return np.round(drawn).astype(np.uint8)


def shade_mask(coverage: np.ndarray) -> np.ndarray:
    """Picture of a mask (H, W) in [0, 1]: object light, the rest dark, neither so much that lines are lost on it."""
    grey = 45 + 80 * coverage[..., None]
    return np.broadcast_to(np.round(grey), (*coverage.shape, 3)).astype(np.uint8)


def resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture at another size.

    Args:
        picture: (H, W, 3), or a mask (H, W), uint8.
        width: pixels.
        height: pixels.
    """
    with needed_for("drawing pictures", extra="cli"):
        from PIL import Image
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def side_by_side(panels: Sequence[Panel]) -> np.ndarray:
    """One picture of equally high panels from left to right, each with its caption below."""
    with needed_for("drawing pictures", extra="cli"):
        from PIL import Image, ImageDraw, ImageFont
    height = max(panel.picture.shape[0] for panel in panels)
    width = sum(panel.picture.shape[1] for panel in panels) + GAP_PX * (len(panels) - 1)
    sheet = Image.new("RGB", (width, height + CAPTION_PX), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    left = 0
    for picture, caption in panels:
        sheet.paste(Image.fromarray(picture), (left, 0))
        draw.text((left + GAP_PX, height + CAPTION_PX / 2), caption, fill=WHITE, font=font, anchor="lm")
        left += picture.shape[1] + GAP_PX
    return np.asarray(sheet)


def write_picture(path: str | Path, picture: np.ndarray) -> None:
    """Writes a PNG, JPEG or what else the name ends in.  Raises ConfigError if that is impossible."""
    with needed_for("writing pictures", extra="cli"):
        from PIL import Image
    with whole_file(path, "picture") as part:
        Image.fromarray(picture).save(part)


def write_animation(path: str | Path, frames: Sequence[np.ndarray], milliseconds: int) -> None:
    """Writes an endless GIF.

    Args:
        path: of the file.
        frames: (H, W, 3) uint8 each.
        milliseconds: how long each is shown; the last one longer.

    Raises:
        ConfigError: if that is impossible.
    """
    with needed_for("writing animations", extra="cli"):
        from PIL import Image
    # One palette for all frames: a still background does not flicker, and the file stays small.
    palette = Image.fromarray(np.concatenate([frames[0], frames[-1]])).quantize()
    first, *others = [Image.fromarray(frame).quantize(palette=palette) for frame in frames]
    durations = [milliseconds] * len(others) + [milliseconds * LAST_FRAME_TIMES]
    with whole_file(path, "animation") as part:
        first.save(part, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)


def _opacity(distance: np.ndarray, width_px: float) -> np.ndarray:
    """(H, W, 1) coverage of a line of this width along distance zero, with soft edges."""
    return np.clip((width_px + 1) / 2 - distance, 0, 1)[..., None]
