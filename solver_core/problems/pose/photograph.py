# SPDX-License-Identifier: Apache-2.0
"""A pose from the photograph itself: mask and pose take turns.

The object at the start says about which pixels show it, their colours which do, the mask where the object stands, and so on.
How far the start is off is not known, so the first turn is taken with more than one tolerance, and the pose is kept that makes
the image likeliest: object and surroundings have the most different colours.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera, pose_from_matrix
from solver_core.images import block_mean
from solver_core.mesh import Mesh
from solver_core.options import keyword_options
from solver_core.problems.pose.setup import PoseSetup
from solver_core.problems.pose.solve import OnStep, PoseOptions, PoseSession, PoseSolution, PoseStep
from solver_core.problems.pose.verdict import judge_colours
from solver_core.segmentation.hints import Hints, checked_hints, checked_image, window_around
from solver_core.segmentation.likelihood import separation
from solver_core.segmentation.mask import ImageMask, checked_model, prior_of, segment, silhouette_of
from solver_core.session import Phase, Session
from solver_core.solution import Verdict

TOLERANCES = (0.06, 0.2)  # of the silhouette's longer side: how far its outline may be off at the start
FOUND = 0.03  # the same, once a pose was found
GUESS_PX = 160  # longer side of what is looked at, while it is not known where the object is
MARGIN = 0.6  # of the silhouette's longer side, around it: what is looked at
TURNS = 2  # of mask and pose, for each tolerance
SAME_DEG, SAME_PLACE = 0.5, 0.005  # a turn that moves the pose less, in degrees and in depths, is the last
EXPECTED_STEPS = 60
TOO_ALIKE = 0.3  # share of the outline: a pose that fits a mask of which so much is guessed is not sure


class Guess(NamedTuple):
    """camera_from_object: (4, 4).  separation: how different object and surroundings are then."""

    camera_from_object: np.ndarray
    separation: float


@dataclass(frozen=True)
class PhotoSolution(PoseSolution):
    """Result of a solve from a photograph: all that a PoseSolution has, and

    mask: (H, W) float32, fraction of each pixel that the object covers.  alike: share of its outline, in [0, 1], along which
    object and surroundings have the same colours.
    """

    mask: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    alike: float = 0.0


class _RoughSession(PoseSession):
    """A solve that ends after its first phases."""

    def phases(self) -> list[Phase]:
        return super().phases()[:2]


@keyword_options(PoseOptions)
def solve_pose_from_image(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    start: np.ndarray,
    box: tuple[float, float, float, float] | None = None,
    lasso: np.ndarray | None = None,
    inside: np.ndarray | None = None,
    outside: np.ndarray | None = None,
    *,
    options: PoseOptions,
    on_step: OnStep | None = None,
) -> PhotoSolution:
    """Pose of a known object from a photograph and a rough start, and the object's mask; no mask is needed.

    It is a function of its own beside solve_pose, because what it takes and what it gives is more: hints on where the object
    is, as mask_from_image takes them, and the mask.

    Args:
        image: (H, W, 3) sRGB, uint8 or float in [0, 1].
        vertices: (V, 3) in any unit of length.
        faces: (F, 3) int, indices into vertices.
        camera: of the image's size; the distortion of its lens is taken out of the image.
        start: (4, 4) camera_from_object, turned about 40 degrees from the truth or less, and about where the object is.
        box: (left, top, right, bottom) in pixels around all of the object.
        lasso: (N, 2) columns and rows of the corners of a polygon around all of the object, pixels.
        inside: (H, W) bool, True where the user painted over the object.
        outside: (H, W) bool, True where the user painted over what is beside it.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every PoseStep; it cancels the solve by raising Cancelled.

    Returns:
        PhotoSolution with camera_from_object in the unit of the vertices, and the mask, of the image without distortion.

    Raises:
        ObservationError: if image or hints cannot be used, or nothing there has the object's shape.
        SetupError: if mesh, camera or start cannot be used.
        ConfigError: if an option is out of its range.
        WeightsError: if the weights are no networks for this.
    """
    return PhotoSession.checked(image, vertices, faces, camera, start, (box, lasso, inside, outside), options).run(on_step)


class PhotoSession(Session[PoseStep, PhotoSolution]):
    """A solve from a photograph under way."""

    def __init__(
        self, image: np.ndarray, hints: Hints, mesh: Mesh, camera: Camera, start: np.ndarray, options: PoseOptions
    ) -> None:
        super().__init__()
        self.image, self.hints, self.mesh, self.camera, self.start, self.options = image, hints, mesh, camera, start, options
        left, top, right, bottom = hints.window
        reduction = math.ceil(max(right - left, bottom - top) / GUESS_PX)
        height, width = (math.ceil(size / reduction) for size in image.shape[:2])
        self.small = block_mean(image[None], reduction)[0] / np.float32(255 if image.dtype == np.uint8 else 1)
        self.small_camera = camera.scaled(1 / reduction, width, height)
        is_inside, is_outside = (block_mean(one[None].astype(np.float32), reduction)[0] > 0.5 for one in hints[:2])
        self.small_hints = Hints(
            is_inside,
            is_outside,
            (left // reduction, top // reduction, math.ceil(right / reduction), math.ceil(bottom / reduction)),
        )
        self.guesses: list[Guess] = []
        self.solving: PoseSession | None = None  # the solve that has the best pose so far
        self.mask = ImageMask(np.zeros(image.shape[:2], np.float32), 1.0, [])

    @classmethod
    def checked(
        cls,
        image: np.ndarray,
        vertices: np.ndarray,
        faces: np.ndarray,
        camera: Camera,
        start: np.ndarray,
        marks: tuple[Any, Any, Any, Any],
        options: PoseOptions,
    ) -> PhotoSession:
        """A session from a user's arrays.  marks: box, lasso, strokes inside and outside, each None if there is none.

        Raises:
            ObservationError: for the image and the marks; SetupError: for the rest.
        """
        image = checked_image(image)
        model = checked_model(vertices, faces, camera, start, (image.shape[0], image.shape[1]))
        if model is None:
            raise SetupError("the pose of an object needs its vertices, faces, the camera and a start")
        mesh, camera, pose = model
        if camera.distortion:
            image = camera.undistorted(image.astype(np.float32) / np.float32(255 if image.dtype == np.uint8 else 1))
        camera = camera.pinhole
        silhouette = silhouette_of(mesh, camera, pose)
        hints = checked_hints((camera.height, camera.width), *marks, silhouette)
        if marks[0] is None and marks[1] is None:
            hints = hints._replace(window=window_around(silhouette | hints.is_inside, MARGIN))
        return cls(image, hints, mesh, camera, pose, options)

    def phases(self) -> list[Phase]:
        guesses = [Phase(lambda one=one: self._guess(one), EXPECTED_STEPS) for one in TOLERANCES]
        return [*guesses, Phase(self._finish, EXPECTED_STEPS)]

    def result(self) -> PhotoSolution:
        session = self.solving
        if session is None:
            raise ObservationError("nothing in the photograph has the object's shape near the start; give a box or strokes")
        solution = session.result()
        found = {**vars(solution), "history": self.history, "seconds": self.seconds, "notes": solution.notes + self.mask.notes}
        if solution.verdict is Verdict.GOOD and self.mask.alike > TOO_ALIKE:
            found["verdict"], found["explanation"] = judge_colours(self.mask.alike)
        return PhotoSolution(**found, mask=self.mask.coverage, alike=self.mask.alike)

    def _guess(self, tolerance: float) -> Generator[PoseStep, None, None]:
        pose = self.start
        for _ in range(TURNS):
            before = pose
            silhouette = silhouette_of(self.mesh, self.small_camera, pose)
            try:
                mask = segment(self.small, self.small_hints, prior_of(silhouette, tolerance))
                session = _RoughSession(self._setup(mask, self.small_camera, pose), self.options)
            except ObservationError:
                return
            yield from self._steps_of(session)
            pose, tolerance = session.best_pose(), FOUND
            if _is_same(pose, before):
                break
        left, top, right, bottom = self.small_hints.window
        window = slice(top, bottom), slice(left, right)
        silhouette = silhouette_of(self.mesh, self.small_camera, pose)
        self.guesses.append(Guess(pose, separation(self.small[window], silhouette[window])))

    def _finish(self) -> Generator[PoseStep, None, None]:
        if not self.guesses:
            return
        best = max(self.guesses, key=lambda guess: guess.separation)
        silhouette = silhouette_of(self.mesh, self.camera, best.camera_from_object)
        self.mask = segment(self.image, self.hints, prior_of(silhouette, FOUND))
        session = PoseSession(self._setup(self.mask, self.camera, best.camera_from_object), self.options)
        yield from self._steps_of(session)

    def _setup(self, mask: ImageMask, camera: Camera, start: np.ndarray) -> PoseSetup:
        return PoseSetup.checked(mask.coverage, self.mesh.vertices, self.mesh.faces, camera, start)

    def _steps_of(self, session: PoseSession) -> Generator[PoseStep, None, None]:
        """The steps of a solve, as part of this one."""
        self.solving = session
        for step in session:
            yield replace(step, seconds=self.seconds)


def _is_same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two poses (4, 4) differ by no more than a mask of another round of colours would make."""
    first, second = pose_from_matrix(a), pose_from_matrix(b)
    turn = np.degrees(rotations.angle_between(first[None, :4], second[None, :4])[0])
    return bool(turn < SAME_DEG and np.linalg.norm(first[4:] - second[4:]) < SAME_PLACE * abs(first[6]))
