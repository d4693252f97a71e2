# SPDX-License-Identifier: Apache-2.0
"""Optional packages: imported where they are used, and named with the extra that brings them when they are missing."""

from __future__ import annotations

from types import TracebackType

from solver_core.errors import MissingDependency


class needed_for:
    """Turns an ImportError inside the block into one sentence.

    with needed_for("reading mesh files", extra="cli"):
        import trimesh
    """

    def __init__(self, purpose: str, extra: str) -> None:
        self.purpose, self.extra = purpose, extra

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, ImportError):
            if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("solver_core."):
                raise MissingDependency(
                    f"{self.purpose} is not in this solver_core, which comes with Blender's extension and only solves; "
                    f"in a Python of its own: pip install 'solver_core[{self.extra}]'"
                ) from error
            package = (error.name or str(error)).partition(".")[0]
            raise MissingDependency(
                f"{self.purpose} needs the package {package}; install it with: pip install 'solver_core[{self.extra}]'"
            ) from error
