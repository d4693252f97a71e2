# SPDX-License-Identifier: Apache-2.0
"""Programs as a forward process."""

import sys
import time

import numpy as np
import pytest

from solver_core.errors import ConfigError, SetupError
from solver_core.executable import Executable

ADD = "import json, sys; x = json.load(sys.stdin)['x']; print(json.dumps({'y': [sum(x), x[0]]}))"
FAIL_BELOW_ZERO = ADD.replace("print", "x[0] < 0 and sys.exit('too small'); print")


def python(code, **options):
    return Executable([sys.executable, "-S", "-c", code], **options)


def test_a_program_reads_and_writes_json():
    y = python(ADD, processes=2)(np.array([[1.0, 2.0], [3.0, 4.0], [0.1, 0.2]]))

    np.testing.assert_array_equal(y, [[3.0, 1.0], [7.0, 3.0], [0.1 + 0.2, 0.1]])


@pytest.mark.parametrize("format", ["json", "npz"])
def test_a_program_reads_and_writes_files(format, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; given, written = sys.argv[1:]; "
        + {
            "json": "import json; x = json.load(open(given))['x']; json.dump({'y': x[::-1]}, open(written, 'w'))",
            "npz": "import numpy; numpy.savez(written, y=numpy.load(given)['x'][::-1])",
        }[format]
    )

    y = Executable([sys.executable, program, "{input}", "{output}"], format=format)(np.array([[1.0, 2.0]]))

    np.testing.assert_array_equal(y, [[2.0, 1.0]])


def test_runs_that_fail_give_nan_and_are_told_once(caplog):
    run = python(FAIL_BELOW_ZERO)

    y = run(np.array([[1.0, 2.0], [-1.0, 2.0], [-2.0, 0.0]]))

    np.testing.assert_array_equal(y, [[3.0, 1.0], [np.nan, np.nan], [np.nan, np.nan]])
    assert [record.message for record in caplog.records] == [
        f"a run failed, which counts as no answer; later ones are not told: {sys.executable} ended with exit code 1: too small"
    ]


def test_a_run_that_takes_too_long_is_ended_with_what_it_started(tmp_path):
    marker = tmp_path / "alive"
    child = f"import time; time.sleep(3); open({str(marker)!r}, 'w')"
    run = python(f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {child!r}])", timeout=0.5)

    with pytest.raises(SetupError, match=r"took longer than 0\.5 s"):
        run(np.zeros((1, 1)))

    time.sleep(3.5)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("print('no JSON')", "not valid JSON"),
        ("print('{\"z\": [1]}')", r"nothing under the key 'y', only \['z'\]"),
        ("print('[1]')", r"nothing under the key 'y', only \[1\]"),
        ('print(\'{"y": ["1"]}\')', "must be"),
    ],
)
def test_what_is_no_answer_is_a_failed_run(code, sentence):
    with pytest.raises(SetupError, match=sentence):
        python(code)(np.zeros((1, 1)))


def test_a_program_that_is_not_there_is_a_sentence():
    with pytest.raises(SetupError, match="cannot start no-such-program: No such file"):
        Executable(["no-such-program"])(np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("command", "options"),
    [("one string", {}), ([], {}), (["x"], {"format": "npz"}), (["x"], {"timeout": 0}), (["x"], {"processes": 0})],
)
def test_what_is_no_command_is_refused(command, options):
    with pytest.raises(ConfigError):
        Executable(command, **options)
