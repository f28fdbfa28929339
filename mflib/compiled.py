"""Kernels compiled by Numba, which is loaded at first use: import a module of kernels late."""

import functools
import pickle
import warnings


def compiled(**options):
    """Decorator: `numba.njit(cache=True, **options)`, where a cache that cannot be written costs a warning.

    A kernel is compiled once for each kind of arguments and kept on disk beside its module, or else in the
    user's cache folder; NUMBA_CACHE_DIR says where otherwise. Numba looks at the file of the kernel alone to
    see whether what it kept is still valid, so intrinsics stand in the file of the kernels that use them.

    Warns
    -----
    UserWarning
        Where no such folder can be written, the disk is full, or what was kept is damaged: the kernel is
        compiled in each process.
    """
    import numba

    def decorate(function):
        try:
            kernel = numba.njit(cache=True, **options)(function)
        except RuntimeError as problem:  # Numba found no folder to write to
            _warn(problem)
            kernel = numba.njit(**options)(function)

        @functools.wraps(function)
        def call(*arguments):
            nonlocal kernel
            try:
                return kernel(*arguments)
            except (OSError, EOFError, pickle.UnpicklingError) as problem:  # of the cache: kernels raise none
                _warn(problem)
                kernel = numba.njit(**options)(function)
                return kernel(*arguments)

        return call

    return decorate


def _warn(problem):
    warnings.warn(
        "compiled kernels cannot be kept on disk, or not be read from there, so each process compiles them "
        f"again ({type(problem).__name__}: {problem}): set NUMBA_CACHE_DIR to another folder",
        stacklevel=3,
    )
