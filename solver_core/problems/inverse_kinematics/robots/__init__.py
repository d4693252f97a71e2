# SPDX-License-Identifier: Apache-2.0
"""Robots: joints of one axis each, targets with orientation, joint values out."""
