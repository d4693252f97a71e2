# SPDX-License-Identifier: GPL-3.0-or-later
"""What buttons have in common that do one thing at once: why they are grey, errors as messages, one undo step."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from solver_core.errors import SolverError

from .. import messages


class Action:
    """Base of operators.  Their sentence at the end, if any, is what `act` gives."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def obstacles(cls, context: bpy.types.Context) -> Iterator[str]:
        """Why the button is grey; see messages.py."""
        raise NotImplementedError

    def act(self, context: bpy.types.Context) -> str:
        """Raises SolverError."""
        raise NotImplementedError

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, cls.obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            said = self.act(context)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        if said:
            self.report({"INFO"}, said)
        return {"FINISHED"}
