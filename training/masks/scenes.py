# SPDX-License-Identifier: Apache-2.0
"""Photographs whose masks are known, made in a tenth of a second: meshes that our own renderer shades in rooms, on tables and
before pictures.

As much as can be is left to chance (domain randomisation, Tobin et al. 2017): materials, gloss, lamps, soft shadows, what
stands beside and behind the object, and the camera.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from solver_core import render, rotations
from solver_core.colour import srgb_from_linear
from solver_core.frames import matrix_from_pose
from solver_core.images import block_mean
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshPool
from solver_core.render.gbuffer import GBuffer, join_scene, render_gbuffer
from solver_core.render.shading import sun_shading
from solver_core.views import view_rotation
from training.masks.pictures import draw_pattern, draw_picture

SIZE, OBJECT_PX = 128, 72  # of the image, and the longer side of the object's box in it
FINE = 2  # pixels of the render a pixel, each way
OTHER_CATEGORIES = 0.4  # share of the objects
FIELD_DEG = 15, 60  # of the object's box, whose perspective it is
PLACES = ("room", "table", "picture")
PLACE_SHARES = (0.5, 0.2, 0.3)
MOST_OTHERS = 5
FEWEST_SEEN = 0.97  # of the object, or what stands before it goes
SIMILAR = 0.3  # share of objects of the colour of what is around
START_DEG = 10, 40  # how far the models' starts are off
VARIANTS = 2  # scenes of the same things in the same places, of other materials and in another light
NUM_PICTURES = 150  # that are drawn once


class Scene(NamedTuple):
    """image: (SIZE, SIZE, 3) uint8 sRGB.  coverage: (SIZE, SIZE) uint8, 255 where the object is.

    silhouettes: (2, SIZE, SIZE) uint8 of models that are turned by up to START_DEG, moved and scaled to the object's box.
    """

    image: np.ndarray
    coverage: np.ndarray
    silhouettes: np.ndarray


def draw_scenes(rng: np.random.Generator, pool: MeshPool) -> list[Scene]:
    """VARIANTS random scenes."""
    mesh = pool.draw(rng, OTHER_CATEGORIES, 1)[0]
    pose = _draw_pose(rng)
    intrinsics = _framing(mesh, pose, OBJECT_PX * FINE, SIZE * FINE)
    place = str(rng.choice(PLACES, p=PLACE_SHARES))
    alone = _silhouette(mesh, pose, intrinsics)
    things = [mesh, *_surroundings(rng, mesh, pool, pose, place)]
    g = _seen(things, pose, intrinsics)
    is_object = g.mask[0] & (g.object_index[0] == 0)
    if is_object.sum() < FEWEST_SEEN * alone.sum():
        before = set(np.unique(g.object_index[0][alone & ~is_object]).tolist())
        things = [one for number, one in enumerate(things) if number == 0 or number not in before]
        g = _seen(things, pose, intrinsics)
        is_object = g.mask[0] & (g.object_index[0] == 0)
    made = [_photograph(rng, things, g, pose) for _ in range(VARIANTS)]
    silhouettes = np.stack([_start_silhouette(rng, mesh, pose, degrees) for degrees in START_DEG])
    images, (coverage,) = block_mean(np.stack(made), FINE), block_mean(is_object[None].astype(np.float32), FINE)
    return [Scene(_bytes(image), _bytes(coverage), _bytes(silhouettes)) for image in images]


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)


@functools.cache
def _pictures() -> list[np.ndarray]:
    return [draw_picture(np.random.default_rng([31, number]), 2 * SIZE) for number in range(NUM_PICTURES)]


def _behind(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) linear, of the render's size: a window of a picture, in other colours, or a plain backdrop."""
    size = int(rng.integers(SIZE // 2, 2 * SIZE + 1))
    pictures = _pictures()
    picture = pictures[rng.integers(len(pictures))]
    top, left = rng.integers(2 * SIZE - size + 1, size=2)
    index = np.arange(SIZE * FINE) * size // (SIZE * FINE)
    window = picture[top : top + size, left : left + size][index][:, index[:: rng.choice([-1, 1])]]
    window = window[..., rng.permutation(3)] * rng.uniform(0.5, 1.3) * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    return window if rng.uniform() < 0.85 else np.broadcast_to(window.mean(axis=(0, 1)), window.shape)


def _draw_pose(rng: np.random.Generator) -> np.ndarray:
    """(4, 4) camera_from_object of an upright object seen from anywhere, mostly from above."""
    elevation = rng.uniform(-10, 60) if rng.uniform() < 0.8 else rng.uniform(-30, 88)
    roll = rng.normal(scale=4 if rng.uniform() < 0.7 else 20)
    angles = np.radians([rng.uniform(0, 360), elevation, roll])
    distance = 0.5 / np.tan(np.radians(rng.uniform(*FIELD_DEG)) / 2)
    wxyz = view_rotation(*angles[:, None])
    return matrix_from_pose(np.concatenate([wxyz, [[0, 0, -distance]]], axis=1))[0]


def _framing(mesh: Mesh, pose: np.ndarray, longest: float, size: int) -> np.ndarray:
    """(4,) intrinsics of a square image in whose middle the mesh's box is, its longer side of so many pixels."""
    seen = mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
    at = seen[:, :2] / -seen[:, 2:] * [1, -1]
    low, high = at.min(axis=0), at.max(axis=0)
    focal = longest / (high - low).max()
    return np.array([focal, focal, *(size / 2 - focal * (low + high) / 2)])


def _silhouette(mesh: Mesh, pose: np.ndarray, intrinsics: np.ndarray, size: int = SIZE * FINE) -> np.ndarray:
    return np.isfinite(render.render_depth([mesh], pose[None], intrinsics[None], size, size)[0])


def _start_silhouette(rng: np.random.Generator, mesh: Mesh, pose: np.ndarray, degrees: float) -> np.ndarray:
    start = pose.copy()
    turn = rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(rotations.random_rotvec(rng, 1, np.radians(degrees))))[0]
    start[:3, :3] = turn @ pose[:3, :3]
    longest = OBJECT_PX * rng.uniform(0.97, 1.05)
    intrinsics = _framing(mesh, start, longest, SIZE)
    intrinsics[2:] += rng.normal(scale=1.0, size=2)
    return _silhouette(mesh, start, intrinsics, SIZE).astype(np.float32)


def _seen(things: list[Mesh], pose: np.ndarray, intrinsics: np.ndarray) -> GBuffer:
    scene = join_scene(things, [pose] * len(things), [None] * len(things))
    return render_gbuffer([scene], intrinsics, SIZE * FINE, SIZE * FINE)


def _surroundings(rng: np.random.Generator, mesh: Mesh, pool: MeshPool, pose: np.ndarray, place: str) -> list[Mesh]:
    """Meshes around the object, in its frame."""
    back = -np.linalg.inv(pose)[:3, 3] * [1, 1, 0]
    back /= max(np.linalg.norm(back), 1e-6)
    turn = rng.normal(scale=0.5)
    back = np.array([back[0] * np.cos(turn) - back[1] * np.sin(turn), back[0] * np.sin(turn) + back[1] * np.cos(turn), 0])
    side = np.array([-back[1], back[0], 0])
    low = mesh.vertices[:, 2].min() - 2e-3
    at = lambda x, y, z: x * side + y * back + z * np.array([0.0, 0, 1])
    quad = lambda corners: Mesh(np.array(corners, np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    things, wall = [], rng.uniform(0.35, 3.0)
    if place == "room":
        things.append(quad([at(x, y, low) for x, y in ((-6, -6), (6, -6), (6, 6), (-6, 6))]))
        if rng.uniform() < 0.75:
            things.append(quad([at(x, wall, z) for x, z in ((-6, low), (6, low), (6, 6), (-6, 6))]))
        if rng.uniform() < 0.3:
            aside = rng.choice([-1, 1]) * rng.uniform(0.5, 2)
            things.append(quad([at(aside, y, z) for y, z in ((-1, low), (6, low), (6, 6), (-1, 6))]))
    elif place == "table":
        x, y, thick = rng.uniform(0.45, 1.5), rng.uniform(0.45, 1.5), rng.uniform(0.02, 0.15)
        corners = np.array([at(i * x, j * y, low - k * thick) for k in (0, 1) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
        sides = [[0, 1, 2], [0, 2, 3], *([a, b, c] for i in range(4) for a, b, c in _side_faces(i))]
        things.append(Mesh(corners.astype(np.float32), np.array(sides, np.int32)))
    count = rng.integers(MOST_OTHERS + 1) if place != "picture" else rng.integers(2) * rng.integers(MOST_OTHERS)
    for other in pool.draw(rng, 0.5, count):
        size, spin = np.exp(rng.uniform(np.log(0.3), np.log(1.6))), rng.uniform(0, 2 * np.pi)
        about = np.array([[np.cos(spin), -np.sin(spin), 0], [np.sin(spin), np.cos(spin), 0], [0, 0, 1]])
        vertices = size * other.vertices @ about.T
        height = low - vertices[:, 2].min() if rng.uniform() < 0.8 else rng.uniform(-0.5, 0.5)
        where = at(rng.uniform(-1, 1), rng.uniform(0.2, max(wall, 0.6)), height)
        things.append(Mesh((vertices + where).astype(np.float32), other.faces))
    return things


def _side_faces(i: int) -> list[tuple[int, int, int]]:
    j = (i + 1) % 4
    return [(i, j, j + 4), (i, j + 4, i + 4)]


def _photograph(rng: np.random.Generator, things: list[Mesh], g: GBuffer, pose: np.ndarray) -> np.ndarray:
    """(H, W, 3) sRGB in [0, 1] of what is seen."""
    is_seen, which, normals = g.mask[0], g.object_index[0], g.normal[0]
    height, width = is_seen.shape
    picture = _behind(rng)
    around = picture.mean(axis=(0, 1))
    colours = rng.uniform(0.03, 0.85, (len(things), 1)) * rng.uniform(0.35, 1, (len(things), 3))
    near = which[is_seen & (which > 0)]
    if rng.uniform() < SIMILAR:
        like = colours[rng.choice(near)] if len(near) and rng.uniform() < 0.8 else around
        colours[0] = like * rng.uniform(0.85, 1.15, 3) * rng.uniform(0.7, 1.3)
    albedo = np.zeros((height, width, 3), np.float32)
    turn, shift = pose[:3, :3].astype(np.float32), pose[:3, 3].astype(np.float32)
    points = (np.where(is_seen[..., None], g.position[0], np.float32(0)) - shift) @ turn  # in the object's frame
    for number, thing in enumerate(things):
        here = is_seen & (which == number)
        if here.any():
            albedo[here] = _material(rng, thing, points[here], normals[here] @ pose[:3, :3], colours[number])
    radiance = albedo * _irradiance(rng, things, g, points, pose) + _gloss(rng, len(things), which, normals, g.position[0])
    radiance = np.where(is_seen[..., None], radiance, 0)
    level = rng.uniform(0.3, 1) / max(np.percentile(radiance[is_seen], 90), 1e-3)
    image = np.where(is_seen[..., None], level * radiance, picture)
    return srgb_from_linear(np.clip(image, 0, None))


def _material(rng: np.random.Generator, mesh: Mesh, points: np.ndarray, normals: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(N, 3) of points (N, 3) of a mesh: one pattern, or parts by height, side or place with one each."""
    scale = max(float(np.ptp(points, axis=0).max()), 0.05)
    if rng.uniform() < 0.55:
        return draw_pattern(rng, points, colour, scale)
    kind, colours = rng.integers(3), np.empty_like(points)
    if kind == 0:  # bands
        part = np.digitize(points[:, 2], np.sort(rng.uniform(points[:, 2].min(), points[:, 2].max() + 1e-6, 3)))
    elif kind == 1:  # what looks up, and the rest
        part = (np.abs(normals[:, 2]) > 0.7).astype(int)
    else:
        seeds = rng.uniform(points.min(axis=0), points.max(axis=0) + 1e-6, (4, 3))
        part = ((points[:, None] - seeds) ** 2).sum(axis=2).argmin(axis=1)
    for number in np.unique(part):
        here = part == number
        other = colour * rng.uniform(0.3, 1.3) if rng.uniform() < 0.6 else rng.uniform(0, 0.85, 3)
        colours[here] = draw_pattern(rng, points[here], other, scale)
    return colours


def _irradiance(rng: np.random.Generator, things: list[Mesh], g: GBuffer, points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(H, W, 3) of light from all around, less where things stand on each other, and of a lamp with soft shadows."""
    normals = g.normal[0]
    height, width = normals.shape[:2]
    up = pose[:3, :3] @ [0.0, 0, 1]
    tilt = rng.normal(size=3)
    sky, slope = rng.uniform(0.5, 1, (2, 3))
    light = rng.uniform(0.15, 0.8) * sky * (1 + 0.6 * (normals @ up)[..., None] * slope * rng.uniform(0, 1))
    light = light * (1 + 0.3 * (normals @ (tilt / np.linalg.norm(tilt)))[..., None])
    light *= _contact(rng, things[0], points)[..., None]
    strength = rng.uniform(0, 1.5) if rng.uniform() < 0.9 else 0.0
    colour = rng.uniform(0.7, 1, 3)
    azimuth, elevation, soft = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(15, 85)), rng.uniform(0, 0.15)
    towards = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    casters = Mesh(
        np.concatenate([one.vertices for one in things]) @ pose[:3, :3].T.astype(np.float32) + pose[:3, 3].astype(np.float32),
        np.concatenate([one.faces + start for one, start in zip(things, _starts(things), strict=True)]),
    )
    num = 3 if soft > 0.03 else 1
    for _ in range(num if strength else 0):
        direction = towards + soft * rng.normal(size=3)
        direction = pose[:3, :3] @ (direction / np.linalg.norm(direction))
        cosine = sun_shading(
            [casters], g.position.reshape(1, -1, 3), g.normal.reshape(1, -1, 3), direction[None].astype(np.float32), 256
        )
        light = light + strength / num * colour * cosine.reshape(height, width, 1)
    return light


def _starts(things: list[Mesh]) -> list[int]:
    return [0, *np.cumsum([len(one.vertices) for one in things])[:-1].tolist()]


def _contact(rng: np.random.Generator, mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """(H, W) share of the light from all around that reaches points (H, W, 3) beside and below the object."""
    low, grid = mesh.vertices[:, 2].min(), 48
    triangles = mesh.vertices[mesh.faces]
    inner = np.concatenate([triangles.mean(axis=1), mesh.vertices])
    reach = rng.uniform(0.1, 0.6)
    near = inner[inner[:, 2] < low + reach]
    cells, *_ = np.histogram2d(near[:, 0], near[:, 1], bins=grid, range=[[-1, 1], [-1, 1]])
    shadow = gaussian_filter((cells > 0).astype(float), grid * rng.uniform(0.01, 0.06))
    at = (points[..., :2] + 1) * grid / 2 - 0.5
    falls = np.exp(-np.maximum(points[..., 2] - low, 0) / 0.08)
    return 1 - rng.uniform(0, 0.9) * falls * map_coordinates(shadow, np.moveaxis(at, -1, 0), order=1, mode="constant")


def _gloss(rng: np.random.Generator, count: int, which: np.ndarray, normals: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(H, W, 3) what surfaces reflect of surroundings that are not seen otherwise: soft waves over all directions."""
    view = np.where(np.isfinite(position), position, 0)
    view = view / np.maximum(np.linalg.norm(view, axis=2, keepdims=True), 1e-6)
    cosine = np.sum(view * normals, axis=2, keepdims=True)
    away = view - 2 * cosine * normals
    rough = rng.uniform(2, 10)
    waves = np.sin(away @ rng.normal(scale=rough, size=(3, 4)) + rng.uniform(0, 6.3, 4)).sum(axis=2)
    bright = 1 / (1 + np.exp(-2 * waves))
    strength = np.where(rng.uniform(size=count) < 0.5, rng.uniform(0, 0.5, count), 0)
    fresnel = 0.15 + 0.85 * (1 - np.abs(cosine[..., 0])) ** 3
    amount = np.where(which >= 0, strength[np.maximum(which, 0)], 0) * fresnel * bright
    return amount[..., None] * rng.uniform(0.6, 1, 3)
