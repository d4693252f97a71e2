# SPDX-License-Identifier: Apache-2.0
"""The kinds of light.  A kind is one file here with the methods of `light.Light`, and one line below."""

from __future__ import annotations

from solver_core.problems.lighting.lights.light import Light
from solver_core.problems.lighting.lights.point import PointLight
from solver_core.problems.lighting.lights.sun import Sun

LIGHTS: dict[str, Light] = {kind.name: kind for kind in (Sun(), PointLight())}
MIXED = "mixed"  # any of them, each lamp of a picture for itself
CHOICES = {name: kind.description for name, kind in LIGHTS.items()} | {
    MIXED: "Finds suns and point lights: each lamp is what explains the picture better"
}


def kinds_of(name: str) -> tuple[Light, ...]:
    """The kinds of light that a key of CHOICES means, the one that is looked for first ahead."""
    return tuple(LIGHTS.values()) if name == MIXED else (LIGHTS[name],)
