# SPDX-License-Identifier: Apache-2.0
"""The steps of a solve: where it starts, how it moves, how it is carried to a body that networks know."""
