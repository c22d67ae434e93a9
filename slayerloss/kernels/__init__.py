"""Loops over time: the reference kernels, which are the definition, and what wraps them for autograd and compilers."""
