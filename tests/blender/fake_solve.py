# SPDX-License-Identifier: Apache-2.0
"""A solve without a problem: it moves an object along x, one metre a step."""

from dataclasses import dataclass, field

import bpy
import numpy as np

from addon.bridge.scene import Handle
from addon.solves.solve import Step
from solver_core.errors import ObservationError, SetupError


@dataclass
class FakeSolve:
    object: str
    parts: tuple = (1,)
    count: int = 3
    failing_step: int | None = None
    failing_part: int | None = None
    missing: tuple = ()  # parts that have no picture
    rounds: int = 1  # for each part
    log: list = field(default_factory=list)

    @classmethod
    def gather(cls, scene, task):
        return cls(**task)

    def read(self, part):
        self.log.append(("read", part))
        self.part = part
        if part in self.missing:
            raise ObservationError("There is no picture.")
        return ()

    def steps(self):
        for index in range(self.count):
            if index == self.failing_step or self.part == self.failing_part:
                raise SetupError("The step cannot be taken.")
            yield Step(self.part, index, self.count, "move", 1 - index / self.count, f"x {index}", float(index), 0.0)

    def apply(self, step):
        if self.object not in bpy.data.objects:
            raise SetupError(f"'{self.object}' is gone.")
        bpy.context.scene.frame_set(step.part)
        bpy.data.objects[self.object].location.x = step.answer

    def keep(self):
        self.log.append(("keep", self.part))
        return self.log.count(("keep", self.part)) == self.rounds

    def skip(self, error):
        self.log.append(("skip", self.part, str(error)))
        return len(self.parts) > 1

    @property
    def has_kept(self):
        return any(entry[0] == "keep" for entry in self.log)

    def finish(self, end=""):
        yield
        self.log.append(("finish", end))

    def step_at(self, step, frame):
        return None

    def restore(self):
        self.log.append("restore")
        if self.object in bpy.data.objects:
            bpy.data.objects[self.object].location.x = 0

    def reset(self):
        self.restore()
        return []

    def report(self):
        return {
            "verdict": "good",
            "explanation": "It fits.",
            "reason": "Done.",
            "seconds": 0.1,
            "steps": self.count,
            "ms_per_step": 1.0,
            "iou_before": 0.5,
            "iou": 0.9,
            "worst_frame": 1,
            "moved": [self.object],
            "counted": [self.object],
        }


def some_result(solve, steps=(), report=None, problem="pose"):
    from addon.results import Result

    result = Result(problem, Handle.of(bpy.context.scene), "Camera", solve)
    for step in steps:
        result.take(step)
    result.report = report
    return result


def lines(*segments):
    return np.array(segments, np.float32)
