# SPDX-License-Identifier: Apache-2.0
"""Masks from photographs: which pixels show the object, by its colours and edges."""
