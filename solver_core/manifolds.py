# SPDX-License-Identifier: Apache-2.0
"""The spaces the unknown lives in, and how a step acts on each: written here once, used by everything.

All are batch first.  For x, y of shape (B, ...) and a step of shape (B, D):
    retract(x, step)    the point reached from x; a zero step gives x
    difference(x, y)    the step that leads from x to y: retract(x, difference(x, y)) = y
    distance(x, y)      (B,) length of that step in the space's own measure
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_array, checked_count, checked_numbers
from solver_core.errors import ConfigError, SetupError, SolverError

MIN_DEPTH_CHANGE = 0.05  # an added step may not carry an object through the camera


class Manifold(Protocol):
    @property
    def dim(self) -> int:
        """D, the length of a step."""
        ...

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray: ...
    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray: ...
    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray: ...
    def random(self, rng: np.random.Generator, count: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Euclidean:
    """R^D; points (B, D).  Random points are standard normal."""

    dim: int

    def __post_init__(self) -> None:
        checked_count(self.dim, "the dimension of a space")

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        return x + step

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y - x

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.linalg.norm(y - x, axis=-1)

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.normal(size=(count, self.dim))


@dataclass(frozen=True)
class Box:
    """Numbers between bounds, (B, D); a step that leads out ends at the bound.

    low, high: D numbers each.  Distance is the length of the step in widths of the box.  Random points are uniform.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bounds = checked_array(getattr(self, name), f"{name} of a box", "(D,)", ConfigError)
            if bounds.ndim != 1:
                raise ConfigError(f"{name} of a box must have shape (D,), got {bounds.shape}")
            object.__setattr__(self, name, tuple(bounds.astype(float).tolist()))
        if len(self.low) != len(self.high) or not all(a < b and np.isfinite(b - a) for a, b in zip(self.low, self.high)):  # noqa: B905
            raise ConfigError(f"every lower bound of a box must be below its upper bound, got {self.low} and {self.high}")

    @property
    def dim(self) -> int:
        return len(self.low)

    @property
    def centre(self) -> np.ndarray:
        """(D,)"""
        return (np.array(self.low) + self.high) / 2

    @property
    def width(self) -> np.ndarray:
        """(D,)"""
        return np.array(self.high) - self.low

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        return np.clip(x + step, self.low, self.high)

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y - x

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.linalg.norm((y - x) / self.width, axis=-1)

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(self.low, self.high, size=(count, self.dim))


@dataclass(frozen=True)
class UnitSphere:
    """Directions (B, 3).  A step is a rotation vector; its part along x changes nothing.  Distance is the angle."""

    dim: int = 3

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        turned = rotations.rotate(rotations.wxyz_from_rotvec(step), x)
        return turned / np.linalg.norm(turned, axis=-1, keepdims=True)

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The shortest rotation vector.  Opposite directions have no unique one; some perpendicular axis is taken."""
        cross = np.cross(x, y)
        sine = np.linalg.norm(cross, axis=-1, keepdims=True)
        cosine = np.sum(x * y, axis=-1, keepdims=True)
        least_component = np.eye(3, dtype=x.dtype)[np.argmin(np.abs(x), axis=-1)]
        perpendicular = np.cross(x, least_component)
        axis = np.where(sine > 1e-6, cross, perpendicular)  # 1e-6: float32 keeps no direction in a smaller product
        axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
        return axis * np.arctan2(sine, cosine)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.linalg.norm(self.difference(x, y), axis=-1)

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        x = rng.normal(size=(count, 3))
        return x / np.linalg.norm(x, axis=-1, keepdims=True)


@dataclass(frozen=True)
class Product:
    """Points of several manifolds side by side, (B, D); of each as many numbers as its steps have.

    Distance is the root of the sum of the squared distances.
    """

    parts: tuple[Manifold, ...]

    @property
    def dim(self) -> int:
        return sum(part.dim for part in self.parts)

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        moved = [part.retract(*pair) for part, *pair in zip(self.parts, self._split(x), self._split(step), strict=True)]
        return np.concatenate(moved, axis=-1)

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        steps = [part.difference(*pair) for part, *pair in zip(self.parts, self._split(x), self._split(y), strict=True)]
        return np.concatenate(steps, axis=-1)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        squared = [part.distance(*pair) ** 2 for part, *pair in zip(self.parts, self._split(x), self._split(y), strict=True)]
        return np.sqrt(np.sum(squared, axis=0))

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.concatenate([part.random(rng, count) for part in self.parts], axis=-1)

    def _split(self, values: np.ndarray) -> list[np.ndarray]:
        return np.split(values, np.cumsum([part.dim for part in self.parts])[:-1], axis=-1)


@dataclass(frozen=True)
class SE3:
    """Rigid poses in front of a camera, (B, 7) wxyz + xyz with z < 0, as camera_from_object.

    A step (B, 6) is what an observer sees: a rotation vector in camera axes about the object's origin (radians), the
    shift of the origin's image (change of x / -z and of y / -z), and the change of log depth.  So its size does not
    depend on the unit of length.  Distance is the rotation angle plus the length of the other three.
    """

    dim: int = 6

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        wxyz = rotations.multiply(rotations.wxyz_from_rotvec(step[..., :3]), x[..., :4])
        depth = -x[..., 6:]
        image_point = x[..., 4:6] / depth + step[..., 3:5]
        new_depth = depth * np.exp(step[..., 5:])
        return np.concatenate([rotations.normalized(wxyz), image_point * new_depth, -new_depth], axis=-1)

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        turn = rotations.multiply(y[..., :4], rotations.inverse(x[..., :4]))
        depth_x, depth_y = -x[..., 6:], -y[..., 6:]
        shift = y[..., 4:6] / depth_y - x[..., 4:6] / depth_x
        return np.concatenate([rotations.rotvec_from_wxyz(turn), shift, np.log(depth_y / depth_x)], axis=-1)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        step = self.difference(x, y)
        return np.linalg.norm(step[..., :3], axis=-1) + np.linalg.norm(step[..., 3:], axis=-1)

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Uniform rotations, image points up to 0.5 off the axis, depths between 1 and 10."""
        depth = np.exp(rng.uniform(0, np.log(10), size=(count, 1)))
        image_point = rng.uniform(-0.5, 0.5, size=(count, 2))
        return np.concatenate([rotations.random_wxyz(rng, count), image_point * depth, -depth], axis=-1)


@dataclass(frozen=True)
class AddedPose(SE3):
    """The same poses and kind of step, but a step is added to the numbers of a pose, as in the paper; for comparison.

    The numbers are rotation vector and position; a step's last three are in units of the depth.
    """

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        wxyz = rotations.wxyz_from_rotvec(rotations.rotvec_from_wxyz(x[..., :4]) + step[..., :3])
        depth = -x[..., 6:]
        new_depth = np.maximum(1 + step[..., 5:], MIN_DEPTH_CHANGE) * depth
        return np.concatenate([wxyz, x[..., 4:6] + step[..., 3:5] * depth, -new_depth], axis=-1)

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rotvec = rotations.rotvec_from_wxyz(x[..., :4])
        wanted = rotations.rotvec_from_wxyz(y[..., :4])
        # The same rotation the other way round, if that is nearer.
        angle = np.maximum(np.linalg.norm(wanted, axis=-1, keepdims=True), rotations.SMALL_ANGLE)
        around = wanted * (1 - 2 * np.pi / angle)
        is_nearer = np.linalg.norm(around - rotvec, axis=-1) < np.linalg.norm(wanted - rotvec, axis=-1)
        turn = np.where(is_nearer[..., None], around, wanted) - rotvec
        depth = -x[..., 6:]
        return np.concatenate([turn, (y[..., 4:6] - x[..., 4:6]) / depth, -y[..., 6:] / depth - 1], axis=-1)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return SE3().distance(x, y)


@dataclass(frozen=True)
class SO3Power:
    """N rotations, (B, N, 4) wxyz.  A step (B, 3 N) holds one rotation vector each, applied on the right (local axes).

    Distance is the mean angle.
    """

    num_rotations: int

    def __post_init__(self) -> None:
        checked_count(self.num_rotations, "the number of rotations")

    @property
    def dim(self) -> int:
        return 3 * self.num_rotations

    def retract(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        rotvec = step.reshape(*x.shape[:-1], 3)  # (B, N, 3)
        return rotations.normalized(rotations.multiply(x, rotations.wxyz_from_rotvec(rotvec)))

    def difference(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rotvec = rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(x), y))
        return rotvec.reshape(*x.shape[:-2], self.dim)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return rotations.angle_between(x, y).mean(axis=-1)

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rotations.random_wxyz(rng, count, self.num_rotations)


def checked_start(start: Any, shape: tuple[int, ...], space: Manifold, error: type[SolverError] = SetupError) -> np.ndarray:
    """A point or a batch of a shape, to start from.  Raises SolverError if it is none, or lies outside of a box."""
    given = checked_numbers(start, "start", shape, error)
    if isinstance(space, Box):
        numbers = given.reshape(-1, space.dim)
        outside = (numbers < space.low) | (numbers > space.high)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise error(
                f"start must lie in the box: number {column + 1} of it must be from {space.low[column]:g} to "
                f"{space.high[column]:g}, got {numbers[row, column]:g}"
            )
    return given
