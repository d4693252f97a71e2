# SPDX-License-Identifier: Apache-2.0
"""Two processes train one network, are killed, and go on to the same weights."""

import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import solver_core as sc  # noqa: E402
from solver_core.network.weights import load_weights  # noqa: E402
from solver_core.training.ranks import Ranks  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed training"),
]

KIND = sc.inverse_problem(forward=lambda x: x, space=sc.Box([1, 1], [2, 4]), name="rectangle")  # as below
PROGRAM = """
import os, signal, sys
import solver_core as sc

def area_and_outline(x):
    return [x[0] * x[1], 2 * (x[0] + x[1])]

problem = sc.inverse_problem(forward=area_and_outline, space=sc.Box([1, 1], [2, 4]), name="rectangle", noise=0.01)

def watch(stage, done, count):  # of the first rank
    if "--kill" in sys.argv and (stage, done) == ("stage 2/2", 2):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    changes = ["iterations=[4, 4]", "batch_size=16", "workers=1", "validation_samples=8", "validate_every=4"]
    weights = sc.train(
        problem, out=sys.argv[1], changes=changes, resume="--resume" in sys.argv, on_iteration=watch
    )
    print(os.environ.get("RANK", "0"), weights, flush=True)
"""


@pytest.fixture
def train(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)

    def train(name: str, *flags: str) -> subprocess.CompletedProcess:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [*torchrun, str(tmp_path / "program.py"), str(tmp_path / name), *flags]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900)

    return train


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_two_ranks_that_are_killed_go_on_to_the_weights_of_two_that_are_not(train, tmp_path):
    straight, killed = train("straight"), train("killed", "--kill")

    resumed = train("killed", "--resume")

    assert (straight.returncode, resumed.returncode) == (0, 0), straight.stderr + resumed.stderr
    assert killed.returncode != 0
    paths = [tmp_path / name / "rectangle.safetensors" for name in ("straight", "killed")]
    assert sorted(straight.stdout.split()) == sorted(["0", str(paths[0]), "1", str(paths[0])])
    stages = [load_weights(path, "rectangle", KIND.input_layout)[0] for path in paths]
    assert len(stages[0]) == 2
    for one, other in zip(*stages, strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6)  # sums of float32 on several threads


def test_a_single_process_keeps_its_gradients():
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.sum().backward()

    assert Ranks().average_gradients_inplace([parameter], is_asked=True)
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [1, 1, 1]
