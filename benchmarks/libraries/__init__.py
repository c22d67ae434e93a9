"""The operations that are timed, one module for each library or for what is alike in several.

Each module has `OPERATIONS`, from a name to a function of a shape (N, C, T) and options that makes an `Operation`. The
modules run in the process, and in the environment, of the library that they call.
"""
