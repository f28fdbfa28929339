"""Kernels compiled by Numba, which is loaded at first use: import a module of kernels late."""


def compiled(**options):
    """Decorator: `numba.njit(cache=True, **options)`."""
    import numba

    return numba.njit(cache=True, **options)
