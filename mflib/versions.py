"""Whether the processes of a cluster have the same versions of what decides a result."""

import functools
import importlib.metadata

_BITS = ("NumPy", "Numba")


def installed(*more):
    """The versions of mflib, NumPy and Numba, and of the packages `more`; imports none but mflib."""
    import mflib

    found = {"mflib": mflib.__version__}
    return found | {name: importlib.metadata.version(name.lower()) for name in (*_BITS, *more)}


def differences(found, own):
    """In which versions what was found is not our own, for a reader; empty where it is."""
    wrong = (name for name, version in own.items() if found.get(name) != version)
    return ", ".join(f"{name} {found.get(name)} instead of {own[name]}" for name in wrong)


def check(client, *more, where=None):
    """See that all workers have the versions of this process.

    Parameters
    ----------
    client : distributed.Client
    *more : str
        Packages beside mflib, NumPy and Numba, as their projects spell them.
    where : str, optional
        Of what has been done; said in the error.

    Raises
    ------
    RuntimeError
        Where they differ, or a worker has no mflib; all workers are named.
    OSError
        Where a worker is gone.
    """
    own = installed(*more)
    different = []
    for worker, found in sorted(client.run(installed, *more, on_error="return").items()):
        if isinstance(found, OSError):  # it is gone
            raise found
        if not isinstance(found, dict):
            different.append(f"worker {worker} cannot import mflib ({type(found).__name__}: {found})")
            continue
        if wrong := differences(found, own):
            different.append(f"worker {worker} has {wrong}")
    if different:
        raise RuntimeError(
            f"client and workers must have the same versions: {'; '.join(different)}. Install the same "
            f"requirements.txt on all of them{'' if where is None else f'; {where}'}"
        )


class OtherVersions(RuntimeError):
    """A worker computes with other versions than the client."""


def checked(own, function, *arguments):
    """function(*arguments) on a worker, which may have come when nobody asked for its versions any more."""
    if wrong := differences(_here(*(name for name in own if name != "mflib")), own):
        raise OtherVersions(wrong)
    return function(*arguments)


@functools.cache
def _here(*names):
    return installed(*names)
