# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from solver_core.errors import ConfigError
from solver_core.locking import LOCK_NAME, sole_writer

ROOT = Path(__file__).resolve().parents[1]
HOLD = "import sys, time; from pathlib import Path; from solver_core.locking import sole_writer\n"
HOLD += "with sole_writer(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


def holder(folder: Path) -> subprocess.Popen:
    """Another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_folder_has_one_writer_and_is_left_as_it_was(tmp_path):
    with sole_writer(tmp_path):
        with pytest.raises(ConfigError, match=rf"process {os.getpid()} on .* is writing to the folder"), sole_writer(tmp_path):
            pass
        assert (tmp_path / LOCK_NAME).exists()

    assert list(tmp_path.iterdir()) == []
    with sole_writer(tmp_path):
        pass


def test_a_holder_that_was_killed_holds_no_more(tmp_path):
    process = holder(tmp_path)
    with pytest.raises(ConfigError, match=f"process {process.pid} on"), sole_writer(tmp_path):
        pass

    os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()

    with process.stdout, sole_writer(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_NAME).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot write to the folder"), sole_writer(tmp_path / "nowhere"):
        pass


def test_of_many_that_ask_at_once_one_writes_at_a_time(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from solver_core.locking import sole_writer\n"
        "from solver_core.errors import ConfigError\n"
        "folder, end = Path(sys.argv[1]), time.monotonic() + 3\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        "        with sole_writer(folder):\n"
        "            (folder / 'alone').mkdir(); (folder / 'alone').rmdir()\n"
        "    except ConfigError: pass\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)
    ]

    said = [process.communicate(timeout=120)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert list(tmp_path.iterdir()) == []
