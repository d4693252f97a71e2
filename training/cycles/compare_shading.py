# SPDX-License-Identifier: Apache-2.0
"""The shading and the shadows of solver_core.render against Blender's Cycles and pyrender, on meshes of the test split.

    python -m training.cycles.compare_shading --data DATA --out DIR

writes DIR/shading.json and DIR/shading.md, and the pictures to docs/images/lighting-shading.png.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.colour import srgb_from_linear
from solver_core.command.pictures import resize, write_picture
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.mesh_library import MEASURED_CATEGORIES, load_library
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.sampler import (
    draw_lights,
)
from solver_core.render.gbuffer import GBuffer, join_scene, render_gbuffer
from solver_core.render.shading import point_light_shading, sun_shading
from solver_core.views import OBJECT_CENTRE, VERTICAL_FOV, canonical_view
from training.cycles import scene
from training.paper.pyrender_shading import PyrenderLambert

logger = logging.getLogger(__name__)

PICTURES = Path(__file__).parents[2] / "docs" / "images" / "lighting-shading.png"
NUM_MESHES, SEED = 20, 0
CAMERA = Camera.from_fov(256, 256, VERTICAL_FOV)
MAP_SIZE = 512  # texels of our shadow maps against 256 pixels, as in pictures
NEAR_EDGE_PX = 2
PIXEL_LIMIT = 0.1  # of the brightest pixel: beyond it a pixel is called wrong
SHEET_COLUMNS, PANEL_PX, GAP_PX = 4, 112, 2
SAME_COSINE = 0.97  # of the normals of neighbouring pixels that count as one surface

Row = dict[str, float | str]


class Comparison(NamedTuple):
    """Shading by a light of strength one, (H, W) each, on the pixels `mask` that both see; facing: it without any shadow."""

    ours: np.ndarray
    theirs: np.ndarray
    facing: np.ndarray
    mask: np.ndarray


def measure(comparison: Comparison) -> dict[str, float]:
    """Differences as percent of the brightest pixel.

    Near an edge is what lies within NEAR_EDGE_PX of a step from light to shadow, in either image or in theirs alone.
    """
    ours, theirs, facing, mask = comparison
    difference = np.abs(ours - theirs) / theirs.max()
    near_theirs = near_shadow_edge(theirs, facing, mask)
    far_from_theirs = mask & ~near_theirs
    far = far_from_theirs & ~near_shadow_edge(ours, facing, mask)
    return {
        "difference_percent": 100 * float(difference[far].mean()),
        "p99_percent": 100 * float(np.percentile(difference[far], 99)),
        "far_from_their_edges_percent": 100 * float(difference[far_from_theirs].mean()),
        "all_pixels_percent": 100 * float(difference[mask].mean()),
        "wrong_pixels_percent": 100 * float(np.mean(difference[far_from_theirs] > PIXEL_LIMIT)),
        "far_pixels_percent": 100 * float(far.sum() / mask.sum()),
    }


def near_shadow_edge(image: np.ndarray, facing: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: within NEAR_EDGE_PX of what the light reaches and of what faces it and lies in a shadow."""
    is_lit = mask & (image > facing / 2)
    is_in_shadow = mask & (facing > 0) & ~is_lit
    return grown(is_lit, NEAR_EDGE_PX) & grown(is_in_shadow, NEAR_EDGE_PX)


def grown(mask: np.ndarray, by_px: int) -> np.ndarray:
    """(H, W) bool: within a square of by_px around the mask."""
    height, width = mask.shape
    padded, span = np.pad(mask, by_px), range(2 * by_px + 1)
    return np.any([padded[row : row + height, column : column + width] for row in span for column in span], axis=0)


class Shaded(NamedTuple):
    """What the camera sees of a mesh in its own frame, and a light: (3,) direction, or position."""

    kind: str
    mesh: Mesh
    buffer: GBuffer
    light: np.ndarray

    @classmethod
    def of(cls, kind: str, mesh: Mesh, light: np.ndarray, camera: Camera = CAMERA) -> Shaded:
        """mesh: in the camera's frame."""
        joined = join_scene([mesh], [np.eye(4)], [None])
        return cls(kind, mesh, render_gbuffer([joined], camera.intrinsics, camera.height, camera.width), light)

    @property
    def mask(self) -> np.ndarray:
        return self.buffer.mask[0]

    def facing(self) -> np.ndarray:
        """(H, W) the shading without shadows."""
        normal, position = self.buffer.normal[0], self.buffer.position[0]
        if self.kind == "sun":
            return np.maximum(normal @ self.light, 0)
        towards = self.light - position
        distance = np.linalg.norm(towards, axis=2)
        return np.maximum(np.sum(normal * towards, axis=2), 0) / distance**3

    def ours(self, map_size: int = MAP_SIZE) -> np.ndarray:
        """(H, W) shading with shadows by solver_core."""
        image = np.zeros(self.mask.shape, np.float32)
        points, normals = self.buffer.position[0][self.mask][None], self.buffer.normal[0][self.mask][None]
        shade = sun_shading if self.kind == "sun" else point_light_shading
        image[self.mask] = shade([self.mesh], points, normals, self.light[None], map_size)[0]
        return image

    def cycles(self, camera: Camera = CAMERA) -> np.ndarray:
        """(H, W) the same by Cycles: direct light on a matt white surface, at the centres of the pixels."""
        scene.new_scene(camera, bounces=0, samples=1)
        scene.add_mesh(self.mesh, np.eye(4), scene.matt(1.0))
        if self.kind == "sun":
            scene.add_sun(self.light, np.pi)
        else:
            scene.add_point_light(self.light, LIGHTS["point"].strength_unit(np.ones(1))[0])
        return scene.render_linear().mean(axis=2)

    def pyrender(self, pyrender: PyrenderLambert) -> np.ndarray:
        """(H, W) the same by pyrender, from 8 bits."""
        exposure = 0.99 / max(1.0, float(self.facing()[self.mask].max()))
        draw = pyrender.render_sun if self.kind == "sun" else pyrender.render_point_light
        return draw(self.mesh, self.light, np.pi * exposure).mean(axis=2) / exposure

    def away_from_creases(self) -> np.ndarray:
        """(H, W) bool: pixels that show one flat piece of surface all over, as pyrender averages over a pixel."""
        normal = self.buffer.normal[0]
        is_bent = np.zeros_like(self.mask)
        for axis in (0, 1):
            for shift in (-1, 1):
                is_bent |= np.sum(normal * np.roll(normal, shift, axis), axis=2) < SAME_COSINE
        return self.mask & ~is_bent


def compare(name: str, shaded: Shaded, pyrender: PyrenderLambert) -> tuple[list[Row], np.ndarray]:
    """A row for each of the two renderers, and the pictures side by side."""
    ours, facing, cycles = shaded.ours(), shaded.facing(), shaded.cycles()
    by_name = {
        "Cycles": Comparison(ours, cycles, facing, shaded.mask),
        "pyrender": Comparison(ours, shaded.pyrender(pyrender), facing, shaded.away_from_creases()),
    }
    rows = [{"light": shaded.kind, "renderer": key, "mesh": name, **measure(value)} for key, value in by_name.items()]
    brightest = cycles[shaded.mask].max()
    panels = [cycles / brightest, ours / brightest, np.abs(ours - cycles) / brightest]
    return rows, np.concatenate([cropped(panel, shaded.mask) for panel in panels], axis=1)


def cropped(panel: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(PANEL_PX, PANEL_PX, 3) uint8 the part of a panel (H, W) that shows the mesh, lighter than what is behind it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    half = max(np.ptp(rows), np.ptp(columns)) // 2 + 4
    middle = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    shown = np.where(mask, 0.08 + 0.92 * srgb_from_linear(panel), 0.0)
    window = np.pad(shown, half)[middle[0] : middle[0] + 2 * half, middle[1] : middle[1] + 2 * half]
    grey = np.round(255 * window).astype(np.uint8)
    return resize(np.repeat(grey[..., None], 3, axis=2), PANEL_PX, PANEL_PX)


def sheet(pictures: list[np.ndarray]) -> np.ndarray:
    pictures = [np.pad(picture, ((0, GAP_PX), (0, 3 * GAP_PX), (0, 0)), constant_values=255) for picture in pictures]
    lines = [np.concatenate(pictures[i : i + SHEET_COLUMNS], axis=1) for i in range(0, len(pictures), SHEET_COLUMNS)]
    return np.concatenate(lines)


def summary(rows: list[Row]) -> str:
    """Markdown: the mean over the meshes and the worst of them, then every mesh."""
    keys = [key for key in rows[0] if key not in ("light", "renderer", "mesh")]
    lines = ["| light | renderer | mesh | " + " | ".join(key.replace("_", " ") for key in keys) + " |"]
    lines.append("|" + " --- |" * (3 + len(keys)))
    for group in sorted({(row["light"], row["renderer"]) for row in rows}, reverse=True):
        of_group = [row for row in rows if (row["light"], row["renderer"]) == group]
        worst = max(of_group, key=lambda row: row["difference_percent"])
        mean = {key: np.mean([row[key] for row in of_group]) for key in keys}
        for name, values in ((f"mean of {len(of_group)}", mean), (f"worst: {worst['mesh']}", worst)):
            lines.append(f"| {group[0]} | {group[1]} | {name} | " + " | ".join(f"{values[key]:.3f}" for key in keys) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    render.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    entries = [entry for entry in load_library(args.data, "test") if entry.category in MEASURED_CATEGORIES]
    view = canonical_view()
    rows: list[Row] = []
    pictures = []
    with PyrenderLambert(CAMERA) as pyrender:
        for index in np.linspace(0, len(entries) - 1, NUM_MESHES).astype(int):
            mesh = join_scene([entries[index].mesh], [view], [None]).mesh
            direction = draw_lights(rng, 1)[0]
            for kind, light in (("sun", direction), ("point", OBJECT_CENTRE + direction)):
                found, picture = compare(entries[index].name, Shaded.of(kind, mesh, light), pyrender)
                logger.info("%s %s: %.3f %%", entries[index].name, kind, found[0]["difference_percent"])
                rows += found
                pictures.append(picture)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "shading.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (args.out / "shading.md").write_text(summary(rows) + "\n", encoding="utf-8")
    write_picture(PICTURES, sheet(pictures))
    print(summary(rows))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
