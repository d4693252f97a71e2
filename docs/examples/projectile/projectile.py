# SPDX-License-Identifier: Apache-2.0
"""Where was it thrown from, and how?  A ball with air drag and wind is seen at a few moments of its flight.

pip install ./docs/examples/projectile
solver_core train projectile
solver_core solve projectile --observation observed.json --weights runs/projectile/projectile.safetensors
"""

import numpy as np

import solver_core as sc

GRAVITY = np.array([0.0, 0.0, -9.81])  # m/s2
DRAG = 0.02  # 1/m: of a heavy ball
STEP, STEPS, SEEN = 0.02, 100, [10, 25, 40, 60, 80, 100]  # s; which steps are seen


def flight(x):
    """(B, 18) metres: six positions for start velocities and winds (B, 5), m/s: vx vy vz, wind along x and y."""
    velocity, position = x[:, :3].copy(), np.zeros((len(x), 3))
    wind = np.concatenate([x[:, 3:], np.zeros((len(x), 1))], axis=1)
    seen = []
    for step in range(1, STEPS + 1):
        through_air = velocity - wind
        speed = np.linalg.norm(through_air, axis=1, keepdims=True)
        velocity = velocity + STEP * (GRAVITY - DRAG * speed * through_air)
        position = position + STEP * velocity
        if step in SEEN:
            seen.append(position)
    return np.concatenate(seen, axis=1)


problem = sc.inverse_problem(
    forward=flight,
    space=sc.Box(low=[-20, -20, 5, -10, -10], high=[20, 20, 25, 10, 10]),
    name="projectile",
    noise=0.02,  # metres
    is_batched=True,
)
