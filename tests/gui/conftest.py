# SPDX-License-Identifier: Apache-2.0
"""Real Blender windows, each with the extension installed from its zip."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gui.window import Blender, Window

ROOT = Path(__file__).resolve().parents[2]
NAMES = os.environ.get("TEST_BLENDER", "").split()  # versions or paths; `make test-gui` sets it


@pytest.fixture(scope="session", params=NAMES or ["none"])
def blender(request) -> Iterator[Blender]:
    if not NAMES:
        pytest.skip("needs a Blender with a window: make test-gui")
    (extension,) = (ROOT / "dist").glob("deep_feedback-*-linux_x64.zip")
    blender = Blender(request.param)
    blender.run("--command", "extension", "validate", extension)
    blender.install(extension)
    yield blender
    blender.close()


@pytest.fixture(scope="session")
def window(blender) -> Iterator[Window]:
    window = Window(blender)
    yield window
    window.close()


@pytest.fixture
def keep_picture(window, request):
    """Function that keeps a screenshot in build/gui/<version>."""
    folder = ROOT / "build" / "gui" / window.version.split()[0]

    def keep(name: str) -> None:
        window.settle()
        window.screenshot(folder / f"{request.node.originalname}-{name}.png")

    return keep
