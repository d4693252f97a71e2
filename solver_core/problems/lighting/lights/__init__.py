# SPDX-License-Identifier: Apache-2.0
"""The kinds of light.  A kind is one file here with the methods of `light.Light`, and one line below."""

from __future__ import annotations

from solver_core.problems.lighting.lights.light import Light
from solver_core.problems.lighting.lights.point import PointLight
from solver_core.problems.lighting.lights.sun import Sun

LIGHTS: dict[str, Light] = {kind.name: kind for kind in (Sun(), PointLight())}
