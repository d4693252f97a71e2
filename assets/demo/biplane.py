# SPDX-License-Identifier: CC0-1.0
"""The toy biplane of the demos and what it is built of; needs bpy and NumPy only, so that Blender itself can run it."""

from __future__ import annotations

import math

import bpy
import numpy as np

RED, CREAM, WOOD, DARK = range(4)


def tube(centres: np.ndarray, across: np.ndarray, up: np.ndarray, sides: int) -> tuple[np.ndarray, list[list[int]]]:
    """Closed surface through ellipses: centres (S, 3), their half axes (S, 3) each.  All parts of the toy are tubes."""
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    rings = centres[:, None] + np.cos(angles) * across[:, None] + np.sin(angles) * up[:, None]  # (S, sides, 3)
    index = np.arange(len(centres) * sides).reshape(len(centres), sides)
    following = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], following[:-1], following[1:], index[1:]], axis=-1).reshape(-1, 4)
    return rings.reshape(-1, 3), [index[0, ::-1].tolist(), index[-1].tolist(), *quads.tolist()]


def straight(start, end, profile, across, up, sides=24):
    """Tube from start to end, its half axes scaled by the profile (S, 3)."""
    fraction, across_factor, up_factor = np.array(profile, dtype=float).T[:, :, None]
    start, end = np.array(start, dtype=float), np.array(end, dtype=float)
    return tube(start + fraction * (end - start), across_factor * np.array(across), up_factor * np.array(up), sides)


def rounded(steps: int = 7, edge: float = 0.12) -> list[tuple[float, float, float]]:
    """Profile of a plate with rounded ends: the half axes grow over the outer `edge` of the length."""
    t = np.linspace(0.02, 1, steps)
    end = [(edge * (1 - math.sqrt(1 - a * a)), 0.45 + 0.55 * a, 0.3 + 0.7 * a) for a in t]
    return end + [(1 - f, a, u) for f, a, u in reversed(end)]


def ball(steps: int = 13) -> list[tuple[float, float, float]]:
    angle = np.linspace(0.05, np.pi - 0.05, steps)
    return [(0.5 - 0.5 * math.cos(a), math.sin(a), math.sin(a)) for a in angle]


def rod(start, end, radius: float, sides: int = 12):
    """Round dowel between two points."""
    direction = np.array(end, dtype=float) - np.array(start, dtype=float)
    across = np.cross(direction, [1.0, 0.3, 0.2])
    across *= radius / np.linalg.norm(across)
    up = np.cross(direction, across)
    up *= radius / np.linalg.norm(up)
    return straight(start, end, ROD, across, up, sides)


# Profiles of `straight`: fraction of the way, and factors of the two half axes there.
ROD = [(0, 1, 1), (1, 1, 1)]
COWLING = [(0, 1, 1), (0.55, 1, 1), (0.85, 0.9, 0.9), (1, 0.7, 0.7)]
SPINNER = [(0, 1, 1), (0.4, 0.9, 0.9), (0.8, 0.55, 0.55), (1, 0.2, 0.2)]
BLADE = [(0, 0.5, 1), (0.25, 0.8, 1), (0.7, 1, 0.8), (0.93, 0.8, 0.6), (1, 0.4, 0.4)]
HALF_TYRE = [(0, 0.7, 0.7), (0.06, 0.86, 0.86), (0.2, 0.97, 0.97)]
TYRE = [*HALF_TYRE, (0.5, 1, 1), *((1 - f, a, u) for f, a, u in reversed(HALF_TYRE))]
HUB = [(0, 0.8, 0.8), (0.1, 1, 1), (0.9, 1, 1), (1, 0.8, 0.8)]
RIM = [(0, 1, 1), (0.8, 1, 1), (1, 0.9, 0.9)]
CAP = [(0, 1, 1), (0.35, 0.98, 0.98), (0.7, 0.75, 0.75), (1, 0.2, 0.2)]
FUSELAGE = [  # x, z of the centre, half width, half height
    (0.104, 0.076, 0.024, 0.025),
    (0.100, 0.076, 0.027, 0.028),
    (0.060, 0.076, 0.028, 0.031),
    (0.020, 0.077, 0.027, 0.033),
    (-0.030, 0.078, 0.023, 0.028),
    (-0.080, 0.081, 0.016, 0.020),
    (-0.130, 0.085, 0.008, 0.012),
    (-0.146, 0.086, 0.005, 0.008),
]
EAST, NORTH, TOP = np.eye(3)


def parts():
    """(material, (vertices, polygons)) of the toy in metres: nose along +x, left wing along +y, wheels on z = 0."""
    yield from body()
    yield from propeller()
    yield from wings()
    yield from tail()
    yield from wheels()
    yield from pilot()


def body():
    x, z, half_width, half_height = np.array(FUSELAGE).T[:, :, None]
    yield RED, tube(x * EAST + z * TOP, half_width * NORTH, half_height * TOP, 28)
    yield CREAM, straight((0.104, 0, 0.076), (0.130, 0, 0.076), COWLING, 0.0275 * NORTH, 0.0285 * TOP, 28)


def propeller():
    yield RED, straight((0.131, 0, 0.076), (0.158, 0, 0.076), SPINNER, 0.010 * NORTH, 0.010 * TOP, 20)
    middle, angle = np.array([0.140, 0, 0.076]), math.radians(62)
    along = math.cos(angle) * NORTH + math.sin(angle) * TOP
    for side in (-1, 1):
        chord = 0.0095 * np.cross(along, EAST) + 0.003 * side * EAST
        yield WOOD, straight(middle, middle + side * 0.066 * along, BLADE, chord, 0.0025 * EAST, 14)


def wings():
    for height, half_span, middle, half_chord in ((0.060, 0.150, 0.030, 0.030), (0.142, 0.172, 0.044, 0.032)):
        tips = (middle, -half_span, height), (middle, half_span, height)
        yield CREAM, straight(*tips, rounded(), half_chord * EAST, 0.0055 * TOP)
    for side in (-1, 1):
        for fore in (-0.015, 0.017):
            yield WOOD, rod((0.030 + fore, side * 0.112, 0.060), (0.044 + fore, side * 0.116, 0.142), 0.0032)
            yield WOOD, rod((0.034 + fore, side * 0.018, 0.096), (0.044 + fore, side * 0.030, 0.142), 0.0028)


def tail():
    yield CREAM, straight((-0.125, -0.062, 0.090), (-0.125, 0.062, 0.090), rounded(), 0.022 * EAST, 0.0035 * TOP, 20)
    yield RED, straight((-0.122, 0, 0.086), (-0.140, 0, 0.148), rounded(edge=0.3), 0.024 * EAST, 0.0035 * NORTH, 20)
    yield DARK, rod((-0.128, 0, 0.082), (-0.146, 0, 0.062), 0.0035)


def wheels():
    for side in (-1, 1):
        yield DARK, straight((0.066, side * 0.046, 0.027), (0.066, side * 0.062, 0.027), TYRE, 0.027 * EAST, 0.027 * TOP, 32)
        yield RED, straight((0.066, side * 0.044, 0.027), (0.066, side * 0.065, 0.027), HUB, 0.015 * EAST, 0.015 * TOP)
        yield WOOD, rod((0.066, side * 0.047, 0.027), (0.056, side * 0.012, 0.056), 0.0040)
    yield WOOD, rod((0.066, -0.05, 0.027), (0.066, 0.05, 0.027), 0.0035)


def pilot():
    yield DARK, straight((-0.006, 0, 0.101), (-0.006, 0, 0.110), RIM, 0.022 * EAST, 0.017 * NORTH)
    yield WOOD, straight((-0.008, 0, 0.106), (-0.008, 0, 0.136), ball(), 0.015 * EAST, 0.015 * NORTH)
    yield RED, straight((-0.009, 0, 0.122), (-0.009, 0, 0.138), CAP, 0.0162 * EAST, 0.0162 * NORTH)


def build_toy(materials: list[bpy.types.Material]) -> bpy.types.Object:
    vertices: list[np.ndarray] = []
    polygons: list[list[int]] = []
    material_indices: list[int] = []
    for material, (part_vertices, part_polygons) in parts():
        offset = sum(map(len, vertices))
        vertices.append(part_vertices)
        polygons += [[offset + i for i in polygon] for polygon in part_polygons]
        material_indices += [material] * len(part_polygons)
    mesh = bpy.data.meshes.new("toy")
    mesh.from_pydata(np.concatenate(vertices).tolist(), [], polygons)
    mesh.polygons.foreach_set("material_index", material_indices)
    for material in materials:
        mesh.materials.append(material)
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=math.radians(42))
    return link(bpy.data.objects.new("toy", mesh))


def link(thing: bpy.types.Object) -> bpy.types.Object:
    bpy.context.scene.collection.objects.link(thing)
    return thing


def paint(name: str, colour, roughness: float, coat: float = 0.0) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Coat Weight"].default_value = coat
    shader.inputs["Coat Roughness"].default_value = 0.15
    return material
