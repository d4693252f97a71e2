# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics: the rotation of every joint of a skeleton, from the positions of all or some of its joints."""
