# SPDX-License-Identifier: Apache-2.0
"""What is compiled, each beside its reference in NumPy: raster, distance, tree and contour, in C and in Python.

The functions of a subject choose: the compiled kernel where there is one (loader.py), on all cores (threads.py), else NumPy,
which gives the same results, slower.  build.py compiles; it needs nothing but a C compiler.
"""
