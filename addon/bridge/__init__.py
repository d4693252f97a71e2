# SPDX-License-Identifier: GPL-3.0-or-later
"""The border between Blender's data and arrays in solver_core's frames and units."""
