# SPDX-License-Identifier: Apache-2.0
"""Where a number or a file comes from: source revision and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def source_revision() -> str:
    """Commit of the checkout this package runs from, "-dirty" if it was edited; "unknown" outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        answer = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()


def machine() -> str:
    """Processor and number of cores, as tables state it."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"
