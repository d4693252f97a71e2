# SPDX-License-Identifier: Apache-2.0
"""Lights that are known and stay: what they add to an image is taken off before another light is looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from solver_core.checks import checked_array, checked_numbers
from solver_core.errors import SetupError, shown
from solver_core.problems.lighting import sky
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.lights.light import spread
from solver_core.problems.lighting.lights.sun import disc
from solver_core.problems.lighting.sky import SkySuns
from solver_core.problems.lighting.surface import LitScene

KEYS = {
    "sun": ("direction", "angle_deg"),
    "point": ("position",),
    "spot": ("position", "aim", "cone_deg", "blend"),
    "area": ("position", "aim", "sides"),
    "sky": (),
    "environment": ("image",),
}
NEEDED = {"direction": (3,), "position": (3,), "aim": (3,), "cone_deg": (), "sides": (2, 3)}  # shapes
USUAL = {"angle_deg": 0.0, "blend": 0.0}
ROUNDED = 1e-3  # half a turn is a little more in Blender's single precision
RANGES = {"angle_deg": (0, 180), "cone_deg": (0, 180), "blend": (0, 1)}
DISC_SAMPLES = 12  # of a sun's disc
SIDE_SAMPLES = 4  # along each side of an area
# Suns that stand for an environment, as if all of it was dim and as if all was bright: 16 and 4 degrees apart.
ENVIRONMENT_SAMPLES = 160, 2500
BRIGHT = 0.02  # of an environment's light: a part with more is a lamp of its own, whose size the edges of shadows show
SHINES = 1e-3  # of an environment's light: what a sun of less adds is not seen
LEAST_AREA = 1e-6  # sine between the sides of an area: single precision tells no less from none
MAX_STRENGTH = 1e12  # more than the surface of the sun sends, and its square is far from what single precision holds
AREA_FACTOR = 4.0  # in front of an area against a point light of the same power: it shines by the cosine, to one side


@dataclass(frozen=True, eq=False)
class KnownLight:
    """A light that is known, in the camera's frame.

    kind: a key of KEYS.  strength: (3,) linear RGB as Blender has it: W/m2 of a sun, W of a point, spot or area, radiance of
    a sky, which is the same all around; of an environment it multiplies its image.  name: for sentences.  values: the others,
    by key: direction (3,) towards a sun and angle_deg across its disc; position (3,); aim (3,) in which a spot or an area
    shines; cone_deg across a spot's cone and blend, the share of it that is soft; sides (2, 3) of an area, vectors along the
    whole of each; image (H, W, 3) of an environment, linear radiance all around: its middle lies ahead of the camera, its right
    half to the right.
    """

    kind: str
    strength: np.ndarray
    name: str
    values: Mapping[str, np.ndarray]

    @classmethod
    def checked(cls, given: Any) -> KnownLight:
        """A light from a user's keys.  Raises SetupError."""
        if isinstance(given, KnownLight):
            return given
        if not isinstance(given, Mapping) or not isinstance(given.get("kind"), str) or given["kind"] not in KEYS:
            came = given.get("kind") if isinstance(given, Mapping) else given
            raise SetupError(f"a known light must have the key kind: {', '.join(KEYS)}; got {shown(came)}")
        kind = given["kind"]
        if unknown := set(map(str, given)) - {"kind", "strength", "name", *KEYS[kind]}:
            keys = ", ".join(("strength", *KEYS[kind], "name"))
            raise SetupError(f"unknown key {shown(min(unknown))} of a known {kind}; it has {keys}")
        if missing := [key for key in ("strength", *KEYS[kind]) if key not in given and key not in USUAL]:
            raise SetupError(f"a known {kind} needs the key {missing[0]}")
        strength = checked_strength(given["strength"], f"strength of a known {kind}")
        name = given.get("name", kind)
        if not isinstance(name, str):
            raise SetupError(f"name of a known {kind} must be text, got {shown(name)}")
        values = {
            key: checked_numbers(given.get(key, USUAL.get(key)), key, NEEDED.get(key, ()))
            for key in KEYS[kind]
            if key != "image"
        }
        if "image" in KEYS[kind]:
            values["image"] = _checked_environment(given["image"])
        for key in {"direction", "aim"} & set(values):
            if not values[key].any():
                raise SetupError(f"{key} of a known {kind} must not be zero")
            values[key] = _directions(values[key])
        for key in set(RANGES) & set(values):
            low, high = RANGES[key]
            if not low - ROUNDED <= values[key] <= high + ROUNDED:
                raise SetupError(f"{key} of a known {kind} must be between {low} and {high}, got {float(values[key]):g}")
        if "sides" in values and np.linalg.norm(np.cross(*_directions(values["sides"]))) < LEAST_AREA:
            raise SetupError("sides of a known area must span it, and these are parallel or zero; a point has none")
        return cls(kind, strength, name, values)

    def radiance(self, scene: LitScene, map_size: int) -> np.ndarray:
        """(P, 3) radiance of white points of a single scene in this light.

        map_size: texels along a side of a shadow map.
        """
        if self.kind == "sky":
            return self.strength * SkySuns.of(scene).openness[:, None]
        if self.kind == "environment":
            suns = environment_suns(self.values["image"])
            shading = LIGHTS["sun"].shade(scene.of(np.zeros(len(suns.directions), int)), suns.directions, sky.MAP)
            return self.strength * (shading.T @ suns.irradiance) / np.pi
        kind = LIGHTS["sun" if self.kind == "sun" else "point"]
        samples = self._samples()
        shading = kind.shade(
            scene.of(np.zeros(len(samples), int)), kind.from_camera(samples, scene).astype(np.float32), map_size
        )
        white = np.mean(shading * self._beam(scene, samples), axis=0)
        return white[:, None] * self.strength / kind.strength_unit(scene.scale)

    def _samples(self) -> np.ndarray:
        """(N, 3) directions or positions that stand for the whole light."""
        values = self.values
        if self.kind == "sun" and values["angle_deg"] > 0:
            return disc(values["direction"], float(values["angle_deg"]), DISC_SAMPLES)
        if self.kind == "area":
            along = (np.arange(SIDE_SAMPLES) + 0.5) / SIDE_SAMPLES - 0.5
            first, second = (coordinate.ravel() for coordinate in np.meshgrid(along, along))
            return values["position"] + np.stack([first, second], axis=1) @ values["sides"]
        return values["direction" if self.kind == "sun" else "position"][None]

    def _beam(self, scene: LitScene, samples: np.ndarray) -> np.ndarray | float:
        """(N, P) how much brighter than a point light the samples are, seen from the points."""
        if "aim" not in self.values:
            return 1.0
        points = scene.centre[0] + scene.scale[0] * scene.surface.position[0]
        offset = points - samples[:, None]  # (N, P, 3)
        cosine = offset @ self.values["aim"] / np.maximum(np.linalg.norm(offset, axis=2), np.finfo(np.float32).tiny)
        if self.kind == "area":
            return AREA_FACTOR * np.maximum(cosine, 0)
        edge = np.cos(np.radians(float(self.values["cone_deg"])) / 2)
        inside = np.clip((cosine - edge) / max(float(self.values["blend"]) * (1 - edge), 1e-6), 0, 1)
        return inside * inside * (3 - 2 * inside)  # Blender's smooth step


def checked_strength(given: Any, name: str) -> np.ndarray:
    """(3,) a strength as Blender has it; name: what messages call it.  Raises SetupError."""
    strength = checked_array(given, name, "(3,)")
    if strength.shape not in ((), (3,)) or strength.dtype.kind == "b":
        came = "true or false" if strength.dtype.kind == "b" else f"shape {strength.shape}"
        raise SetupError(f"{name} must be one number or three (RGB), got {came}")
    if not (np.isfinite(strength) & (strength >= 0) & (strength <= MAX_STRENGTH)).all():
        raise SetupError(f"{name} must be finite and must not be negative or above {MAX_STRENGTH:g}")
    return np.broadcast_to(strength.astype(np.float64), 3).copy()


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) as unit vectors; zero stays zero."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True)  # first, so that squares neither vanish nor overflow
    scaled = vectors / np.where(largest > 0, largest, 1)
    return scaled / np.maximum(np.linalg.norm(scaled, axis=-1, keepdims=True), 1e-12)


def known_lights(given: Any) -> tuple[KnownLight, ...]:
    """Known lights from a user's list of them, each a KnownLight or a mapping of its keys; None = none.  Raises SetupError."""
    if given is None:
        return ()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise SetupError(f"known must be a list of lights, got {type(given).__name__}")
    return tuple(KnownLight.checked(one) for one in given)


class Suns(NamedTuple):
    """directions: (N, 3) unit, towards them.  irradiance: (N, 3) linear RGB by each on what faces it."""

    directions: np.ndarray
    irradiance: np.ndarray


def environment_suns(image: np.ndarray) -> Suns:
    """Suns that stand for an environment (H, W, 3)."""
    towards, solid_angle = environment_directions(*image.shape[:2])
    light = (image * solid_angle[:, None, None]).reshape(-1, 3)
    towards, grey = towards.reshape(-1, 3), light.mean(axis=1)
    dim, bright = (spread(count, lowest_z=-1.0) for count in ENVIRONMENT_SAMPLES)
    nearest = np.argmax(towards @ dim.T, axis=1)
    is_bright = np.bincount(nearest, grey)[nearest] > BRIGHT * grey.sum()
    nearest[is_bright] = len(dim) + np.argmax(towards[is_bright] @ bright.T, axis=1)
    part = np.unique(nearest, return_inverse=True)[1]
    direction = np.stack([np.bincount(part, grey * axis) for axis in towards.T], axis=1)
    irradiance = np.stack([np.bincount(part, colour) for colour in light.T], axis=1)
    is_seen = irradiance.mean(axis=1) > SHINES * grey.sum()
    direction, irradiance = direction[is_seen], irradiance[is_seen]
    return Suns((direction / np.linalg.norm(direction, axis=1, keepdims=True)).astype(np.float32), irradiance)


def environment_directions(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (H, W, 3) of the pixels of an environment, and the solid angle (H,) of each in a row."""
    across = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    up = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    across, up = np.meshgrid(across, up)
    towards = np.stack([np.cos(up) * np.sin(across), np.sin(up), -np.cos(up) * np.cos(across)], axis=2)
    edges = np.sin((0.5 - np.arange(height + 1) / height) * np.pi)
    return towards.astype(np.float32), -np.diff(edges) * 2 * np.pi / width


def _checked_environment(image: Any) -> np.ndarray:
    """(H, W, 3) float32.  Raises SetupError."""
    image = checked_array(image, "image of a known environment", "(H, W, 3)").astype(np.float32)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise SetupError(f"image of a known environment must be (H, W, 3), linear RGB all around, got shape {image.shape}")
    if not np.isfinite(image).all() or (image < 0).any():
        raise SetupError("image of a known environment must be finite and not negative")
    if (image > MAX_STRENGTH).any():
        raise SetupError(f"image of a known environment must be at most {MAX_STRENGTH:g}, got {image.max():g}")
    return image
