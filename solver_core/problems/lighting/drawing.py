# SPDX-License-Identifier: Apache-2.0
"""Pictures of a light: photograph, relit estimate and difference, with a direction as an arrow or a position as a dot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver_core.colour import srgb_from_linear
from solver_core.command.pictures import CYAN, ORANGE, Colour, Panel, resize, side_by_side
from solver_core.frames import project
from solver_core.problems.lighting.lights import Light
from solver_core.problems.lighting.problem import LightingProblem
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.surface import Pixels

PANEL_PX = 560  # longer side of a panel: three of them fit a screen
MAP_SIZE = 2048  # texels of the shadow maps of pictures
DIMMED = 0.35  # what is not used of the photograph, so that the eye is on the rest
EXPOSURE = 0.7  # linear display value of the photograph's bright level, which leaves room for highlights
ARROW = 0.7  # length of an arrow when it is seen from the side, units of the scene
HEAD_PX, STROKE_PX, HALO_PX, DOT_PX = 22.0, 5.0, 9.0, 11.0
HEAD_HALF_WIDTH = 0.55  # of an arrow's head, of its length
HALO: Colour = (12, 12, 14)


@dataclass(frozen=True, eq=False)
class LightingCanvas:
    """What lights are drawn on: a setup, and its problem at usable pixels, is_lit (H, W) bool."""

    setup: LightingSetup
    problem: LightingProblem
    pixels: Pixels
    is_lit: np.ndarray

    @classmethod
    def of(cls, setup: LightingSetup, max_size: int | None = None) -> LightingCanvas:
        """max_size: pixels of the longer side of what is lit, which skips pixels of larger photographs; None = all are lit."""
        usable = setup.buffer.mask[0]
        stride = 1 if max_size is None else math.ceil(max(usable.shape) / max_size)
        first = stride // 2
        is_lit = usable[first::stride, first::stride]
        row, column = np.nonzero(is_lit)
        pixels = Pixels(np.arange(len(row)), row * stride + first, column * stride + first)
        return cls(setup, setup.problem_at(pixels, MAP_SIZE), pixels, is_lit)

    def photograph(self) -> np.ndarray:
        """(H, W, 3) uint8, darker where it was not used."""
        seen = np.where(self.setup.buffer.mask[0][..., None], 1, DIMMED) * self.setup.photograph.image
        return self._picture(seen / self.problem.observation.level[0])

    def relit(self, lights: np.ndarray, kinds: Sequence[Light] = ()) -> np.ndarray:
        """(H, W, 3) uint8 the geometry under a light (3,) in the camera's frame, or K of them (K, 3), and the known lights.

        kinds: of each light; none = that of the setup, as below.
        """
        pixels, observation = self.pixels, self.problem.observation
        seen = self.setup.photograph.image[pixels.row, pixels.column] / observation.level[0]
        return self._picture(self._spread(seen - observation.image[0] + self._prediction(lights, kinds)))

    def difference(self, lights: np.ndarray, kinds: Sequence[Light] = ()) -> np.ndarray:
        """(H, W, 3) uint8: orange where the photograph is brighter than the estimate, cyan where it is darker."""
        residual = self.problem.observation.image[0].mean(axis=1) - self._prediction(lights, kinds).mean(axis=1)
        tint = np.where(residual[:, None] > 0, np.array(ORANGE), np.array(CYAN)) / 255
        shown = srgb_from_linear(self._spread(tint * np.clip(np.abs(residual), 0, 1)[:, None]))
        return np.round(255 * shown).astype(np.uint8)

    def draw_light(self, picture: np.ndarray, light: np.ndarray, colour: Colour, kind: Light | None = None) -> np.ndarray:
        """A copy of a picture with the light: an arrow from the scene towards it, or a dot where it is."""
        kind = kind or self.setup.kind
        scene, camera = self.problem.scene, self.setup.photograph.camera
        centre = scene.centre[0].astype(np.float64)
        tip = light if kind.has_position else centre + ARROW * float(scene.scale[0]) * light
        nearest = -0.05 * np.linalg.norm(centre)  # a light behind the camera is drawn in its direction
        tip = tip if tip[2] < nearest else centre + (tip - centre) * (nearest - centre[2]) / (tip[2] - centre[2])
        start, end = project(np.stack([centre, tip]), camera.intrinsics) * picture.shape[1] / camera.width
        if kind.has_position:
            segments, width = [(end, end)], 2 * DOT_PX
        else:
            segments, width = _arrow(start, _within(picture, start, end)), STROKE_PX
        return _stroke(_stroke(picture, segments, HALO, width + HALO_PX - STROKE_PX), segments, colour, width)

    def _prediction(self, lights: np.ndarray, kinds: Sequence[Light]) -> np.ndarray:
        """(P, 3) relit image in bright levels."""
        lights = np.atleast_2d(lights)
        kinds = tuple(kinds) or (self.setup.kind,) * len(lights)
        x = [kind.from_camera(light[None], self.problem.scene) for kind, light in zip(kinds, lights, strict=True)]
        problem = replace(self.problem, kind=kinds[0], more=kinds[1:])
        return problem.forward(np.concatenate(x, axis=1).astype(np.float32), np.zeros(1, dtype=int)).image[0]

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """(H, W, 3) image of the values (P, 3) of the usable pixels."""
        image = np.zeros((*self.is_lit.shape, 3), np.float32)
        image[self.is_lit] = values
        return image

    def _picture(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 of an image in bright levels."""
        return np.round(255 * srgb_from_linear(image * EXPOSURE)).astype(np.uint8)


def draw_result(canvas: LightingCanvas, lights: np.ndarray, captions: Sequence[str], kinds: Sequence[Light] = ()) -> np.ndarray:
    """Photograph with the lights (K, 3), relit estimate and difference, side by side, each with its caption.

    kinds: as in LightingCanvas.relit.
    """
    pictures = canvas.photograph(), canvas.relit(lights, kinds), canvas.difference(lights, kinds)
    photograph, relit, difference = map(_scaled, pictures)
    for light, kind in zip(lights, kinds or (canvas.setup.kind,) * len(lights), strict=True):
        photograph = canvas.draw_light(photograph, light, ORANGE, kind)
    pictures = [photograph, relit, difference]
    return side_by_side([Panel(picture, caption) for picture, caption in zip(pictures, captions, strict=True)])


def draw_step(canvas: LightingCanvas, light: np.ndarray, caption: str, is_last: bool, kind: Light | None = None) -> np.ndarray:
    """One frame of an animation: photograph and relit estimate."""
    kind = kind or canvas.setup.kind
    relit = canvas.draw_light(_scaled(canvas.relit(light, (kind,))), light, CYAN if is_last else ORANGE, kind)
    return side_by_side([Panel(_scaled(canvas.photograph()), "photograph"), Panel(relit, caption)])


def _scaled(picture: np.ndarray) -> np.ndarray:
    factor = PANEL_PX / max(picture.shape[:2])
    return resize(picture, max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))


def _within(picture: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The end of an arrow (column, row), shortened to stay inside the picture."""
    size = np.array([picture.shape[1], picture.shape[0]])
    room = np.where(end > start, size - HEAD_PX - start, start - HEAD_PX)
    share = np.min(room / np.maximum(np.abs(end - start), 1e-9))
    return start + np.clip(share, 0, 1) * (end - start)


def _arrow(start: np.ndarray, end: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Segments of an arrow; one that points at the viewer has no head."""
    length = np.linalg.norm(end - start)
    if length <= HEAD_PX:
        return [(start, end)]
    along = HEAD_PX * (start - end) / length
    across = HEAD_HALF_WIDTH * np.array([-along[1], along[0]])
    return [(start, end), (end, end + along + across), (end, end + along - across)]


def _stroke(
    picture: np.ndarray, segments: Sequence[tuple[np.ndarray, np.ndarray]], colour: Colour, width_px: float
) -> np.ndarray:
    """A copy of the picture with lines between points (column, row), round at their ends."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    nearest = np.full(rows.shape, np.inf)
    for start, end in segments:
        along = end - start
        squared = max(float(along @ along), 1e-9)
        share = np.clip(((columns - start[0]) * along[0] + (rows - start[1]) * along[1]) / squared, 0, 1)
        nearest = np.minimum(nearest, np.hypot(columns - start[0] - share * along[0], rows - start[1] - share * along[1]))
    opacity = np.clip((width_px + 1) / 2 - nearest, 0, 1)[..., None]
    return np.round(picture + opacity * (np.array(colour) - picture)).astype(np.uint8)
