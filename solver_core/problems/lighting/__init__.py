# SPDX-License-Identifier: Apache-2.0
"""A sun or a point light from one image of known geometry."""
