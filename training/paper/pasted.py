# SPDX-License-Identifier: Apache-2.0
"""Photographs that are made quickly: meshes that our own renderer shades, before pictures and in plain rooms.

They are what the verdict of photographs is fitted to.  The table's photographs are Cycles' and have other meshes, pictures and
light, so that it shows how the calibration does on what it has not seen.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.command.files import read_photo
from solver_core.command.pictures import resize
from solver_core.frames import Camera, matrix_from_pose
from solver_core.images import block_mean
from solver_core.mesh import Mesh
from solver_core.problems.pose.sampler import PoseSampling, draw_poses
from solver_core.render.gbuffer import join_scene, render_gbuffer
from solver_core.views import VERTICAL_FOV

CAMERA = Camera.from_fov(448, 336, VERTICAL_FOV)
FINE = 2  # pixels of the render a pixel, each way
PICTURES = {  # none of the table's
    "skimage": ("data/camera.png", "data/coins.png", "data/hubble_deep_field.jpg", "data/ihc.png", "data/retina.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
IN_ROOM, SIMILAR = 0.5, 0.25  # shares of objects in rooms, and of those of the background's colour
MAX_ANGLES, MAX_SHIFT = (10.0, 40.0), 0.2  # degrees; of starts, the shift in diagonals and as much less as the angle
NOISE = 0.01, 0.03  # of the full range, least and most
BLUR = 0.5  # share of photographs that are out of focus by a pixel
ROOM = 4.0  # half a side, in diagonals of the mesh
NUM_OTHERS = 3


class Pasted(NamedTuple):
    """image: (H, W, 3) uint8 sRGB.  truth, start: (7,) pose of the mesh."""

    image: np.ndarray
    mesh: Mesh
    truth: np.ndarray
    start: np.ndarray


def draw(rng: np.random.Generator, meshes: list[Mesh]) -> Pasted:
    """A random photograph and start."""
    mesh, angle = meshes[rng.integers(len(meshes))], rng.choice(MAX_ANGLES)
    sampling = PoseSampling(max_angle_deg=angle, max_shift=MAX_SHIFT * angle / max(MAX_ANGLES))
    start, truth = (pose[0] for pose in draw_poses(sampling, rng, 1))
    pose, is_room = matrix_from_pose(truth), rng.uniform() < IN_ROOM
    picture = np.zeros((CAMERA.height, CAMERA.width, 3)) if is_room else _picture(rng)
    things = [mesh, *(_room(rng, mesh, meshes, pose) if is_room else [])]
    camera = CAMERA.scaled(FINE, FINE * CAMERA.width, FINE * CAMERA.height)
    scene = join_scene(things, [pose] * len(things), [np.full((len(one.faces), 3), k) for k, one in enumerate(things)])
    g = render_gbuffer([scene], camera.intrinsics, camera.height, camera.width)
    is_seen, which = g.mask[0], np.round(g.albedo[0][..., 0]).astype(int)
    points = (np.where(is_seen[..., None], g.position[0], 0) - pose[:3, 3]) @ pose[:3, :3]
    light = rng.normal(size=3)
    light[2] = abs(light[2]) + 0.3
    light = pose[:3, :3] @ light / np.linalg.norm(light)
    up = pose[:3, :3] @ [0.0, 0, 1]
    shade = 0.3 + 0.2 * g.normal[0] @ up + 0.7 * np.maximum(g.normal[0] @ light, 0)
    colours = rng.uniform(0.1, 0.8, (len(things), 1)) * rng.uniform(0.5, 1, (len(things), 3))
    if rng.uniform() < SIMILAR:
        colours[0] = colours[1] if is_room else linear_from_srgb(picture.mean(axis=(0, 1)))
    image = np.zeros((*which.shape, 3))
    for number, colour in enumerate(colours):
        here = is_seen & (which == number)
        image[here] = _pattern(rng, points[here], colour) * shade[here][:, None]
    image, alpha = (block_mean(one[None], FINE)[0] for one in (srgb_from_linear(image), is_seen.astype(np.float32)))
    image = image + (1 - alpha[..., None]) * picture
    if rng.uniform() < BLUR:
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
        near = [padded[i : i + CAMERA.height, j : j + CAMERA.width] for i in range(3) for j in range(3)]
        image = np.mean(near, axis=0)
    image = image + rng.normal(scale=rng.uniform(*NOISE), size=image.shape)
    return Pasted(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8), mesh, truth, start)


def _picture(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) in [0, 1] a window of a picture, of the camera's size."""
    package = str(rng.choice(list(PICTURES), p=[0.75, 0.25]))
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the pictures are those of {package}: pip install {package}")
    photo = read_photo(Path(spec.origin).parent / str(rng.choice(PICTURES[package])))
    factor = max(CAMERA.height / photo.shape[0], CAMERA.width / photo.shape[1]) * rng.uniform(1, 1.6)
    photo = resize(photo, round(photo.shape[1] * factor) + 1, round(photo.shape[0] * factor) + 1)
    top, left = rng.integers(photo.shape[0] - CAMERA.height + 1), rng.integers(photo.shape[1] - CAMERA.width + 1)
    return photo[top : top + CAMERA.height, left : left + CAMERA.width][:, :: rng.choice([-1, 1])] / 255


def _room(rng: np.random.Generator, mesh: Mesh, meshes: list[Mesh], camera_from_object: np.ndarray) -> list[Mesh]:
    """A plane under the mesh, one behind it, and other things between, in the mesh's frame."""
    floor_z = mesh.vertices[:, 2].min() - 1e-3
    back = -np.linalg.inv(camera_from_object)[:3, 3] * [1, 1, 0]
    back /= np.linalg.norm(back)
    side, wall = np.array([-back[1], back[0], 0]), rng.uniform(0.8, 2.0)
    at = lambda x, y, z: x * side + y * back + z * np.array([0.0, 0, 1])
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    floor = [at(ROOM * x, ROOM * y, floor_z) for x, y in corners]
    behind = [at(ROOM * x, wall, ROOM * z) for x, z in corners]
    planes = [Mesh(np.array(one, np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)) for one in (floor, behind)]
    others = []
    for _ in range(NUM_OTHERS):
        other = meshes[rng.integers(len(meshes))]
        where = at(rng.uniform(-1, 1), rng.uniform(0.7, wall + 0.3), floor_z - other.vertices[:, 2].min())
        others.append(Mesh(other.vertices + where.astype(np.float32), other.faces))
    return [*planes, *others]


def _pattern(rng: np.random.Generator, points: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of points (N, 3): waves between a colour and a darker one, soft, sharp, or none."""
    waves = sum(np.sin(points @ (rng.normal(size=3) * rng.uniform(5, 50)) + rng.uniform(0, 6)) for _ in range(4))
    share = 1 / (1 + np.exp(-waves * rng.choice([0, 1, 8])))
    darker = colour * rng.uniform(0.4, 0.95) * rng.uniform(0.8, 1, 3)
    return share[:, None] * colour + (1 - share[:, None]) * darker
