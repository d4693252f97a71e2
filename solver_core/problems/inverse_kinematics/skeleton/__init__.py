# SPDX-License-Identifier: Apache-2.0
"""The body that moves: a tree of bones, where rotations take it, and what limits them."""
