"""Checkpoints: the state of a descent in a file, from which it goes on with the same bits.

Arrays as `storage` writes them, all else as JSON; nothing is pickled. A file is there whole or not at all.
"""

import hashlib
import io
import os
import signal
import tempfile
import threading
from contextlib import contextmanager

import numpy as np

from mflib import checks, storage
from mflib.state import State, is_pair

FORMAT = 1
WRITER = "descend(checkpoint=…)"


def about(settings, ratings, validation, U, V, edges=None):
    """What makes a descent this one: two with the same go through the same bits.

    Returns
    -------
    dict
        The settings, digests of the data and of the start, and where the users are cut into blocks.
    """
    return {
        **settings,
        "ratings": ratings.digest,
        "validation": None if validation is None else validation.digest,
        "start": hashlib.sha256(b"".join(np.ascontiguousarray(W).tobytes() for W in (U, V))).hexdigest(),
        "shape": [len(U), *V.shape],
        "dtype": U.dtype.name,
        "n_blocks": None if edges is None else len(edges) - 1,
        "blocks": None if edges is None else hashlib.sha256(repr(edges).encode()).hexdigest(),
    }


class Place:
    """Where the state of one descent is kept.

    Parameters
    ----------
    path : str or path
        A file, or a URL that fsspec knows.
    every : int
        After so many iterations.
    descent : dict
        From `about`.
    """

    def __init__(self, path, every, descent):
        self.path = os.fspath(path)
        self.every = checks.whole_number("checkpoint_every", every, 1)
        self.descent = descent

    def __call__(self, state, last=False):
        """Write a state; what stood there is replaced at once when all is written."""
        with _done_first():
            self._write(_content(state, self.descent))

    def _write(self, content):
        if "://" not in self.path:
            storage.write(self.path, *content)
            return
        files, path = _remote(self.path)
        file = io.BytesIO()
        storage.write_to(file, *content)
        files.pipe_file(f"{path}.part", file.getvalue())
        files.mv(f"{path}.part", path)

    def load(self, U, V, iterations):
        """The state that was kept, None where there is none yet.

        Parameters
        ----------
        U, V : ndarray
            The start, for shapes and dtype.
        iterations : int
            That are asked for.

        Raises
        ------
        ValueError
            Where the file is damaged, of another descent, or of more iterations.
        OSError
            Where there is none, and none can be written: said now, and not when much is done.
        """
        if "://" not in self.path:
            if os.path.lexists(self.path):
                return self._read(self.path, U, V, iterations)
            storage.check_place(self.path)
            return None
        files, path = _remote(self.path)
        if not files.exists(path):
            files.pipe_file(f"{path}.part", b"")
            files.rm(f"{path}.part")
            return None
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "checkpoint")
            files.get_file(path, copy)
            return self._read(copy, U, V, iterations)

    def _read(self, file, U, V, iterations):
        try:
            descent, state = storage.read(file, WRITER, lambda *content: _parts(*content, U, V), verify=True)
        except ValueError as error:
            raise ValueError(f"{error}; or delete the checkpoint {self.path} to begin anew") from error
        different = [
            _difference(name, descent.get(name), value)
            for name, value in self.descent.items()
            if descent.get(name) != value
        ]
        if different:
            raise ValueError(
                f"the checkpoint {self.path} is of another descent: {'; '.join(different)}. "
                "Give the same data and settings to go on, or another checkpoint to begin anew"
            )
        if state.iteration > iterations:
            raise ValueError(
                f"the checkpoint {self.path} is of iteration {state.iteration} already: "
                f"give iterations={state.iteration} or more, got {iterations}, or another checkpoint"
            )
        return state


@contextmanager
def _done_first():
    """Let Ctrl-C wait until what is begun is done; the second one does not wait."""
    handler, asked = signal.getsignal(signal.SIGINT), []
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return

    def later(*arguments):
        asked.append(arguments)
        if len(asked) > 1:
            handler(*arguments)

    signal.signal(signal.SIGINT, later)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if asked:
        handler(*asked[0])


def _difference(name, before, now):
    if name == "start":
        return "the start (U, V) differs"
    if name in ("ratings", "validation"):
        what = "the validation ratings" if name == "validation" else "the ratings"
        return f"{what} differ" if before and now else f"{what} were {'' if before else 'not '}given"
    if name == "blocks":
        return "the users are cut into other blocks"
    return f"{name} was {before!r} and is {now!r}"


def _remote(url):
    """The file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ImportError(
            f"a checkpoint at {url} needs fsspec: pip install 'mflib[cluster]', or give a path"
        ) from None
    return url_to_fs(url)


def _content(state, descent):
    """What JSON says about a state, and its arrays."""
    kinds = {name: "pair" if is_pair(kept) else "number" for name, kept in state.memory.items()}
    arrays = {"U": state.U, "V": state.V, "limits": np.array([state.limit, state.best_rmse])}
    for name, kept in state.memory.items():
        if kinds[name] == "pair":
            arrays[f"memory.{name}.U"], arrays[f"memory.{name}.V"] = kept
        else:
            arrays[f"memory.{name}"] = np.array([kept], dtype=np.float64)
    if state.best is not None:
        arrays["best.U"], arrays["best.V"] = state.best
    for field in state.rows[0].dtype.names if state.rows else ():
        arrays[f"history.{field}"] = np.array([row[field] for row in state.rows])
    about = {
        "holds": "Descent",
        "format": FORMAT,
        "descent": descent,
        "iteration": state.iteration,
        "best_iteration": state.best_iteration,
        "memory": kinds,
    }
    return about, {name: array.ravel() for name, array in arrays.items()}


def _parts(about, arrays, U, V):
    """The descent that a file is of, and its state: None where its shapes are not those of U and V."""
    if about.get("holds") != "Descent":
        raise ValueError("it holds no descent")
    storage.check_format(about, FORMAT)
    if (about["descent"]["shape"], about["descent"]["dtype"]) != ([len(U), *V.shape], U.dtype.name):
        return about["descent"], None
    arrays = {name: np.array(array) for name, array in arrays.items()}  # the file will be replaced

    def pair(prefix=""):
        return [arrays[f"{prefix}{name}"].reshape(W.shape) for name, W in (("U", U), ("V", V))]

    memory = {
        name: pair(f"memory.{name}.") if kind == "pair" else float(arrays[f"memory.{name}"][0])
        for name, kind in about["memory"].items()
    }
    fields = [name for name in arrays if name.startswith("history.")]
    kind = np.dtype([(name.removeprefix("history."), arrays[name].dtype) for name in fields])
    columns = zip(*(arrays[name] for name in fields), strict=True)
    rows = tuple(np.array(row, dtype=kind)[()] for row in columns)
    limit, best_rmse = map(float, arrays["limits"])
    best = tuple(pair("best.")) if "best.U" in arrays else None
    best_iteration = about["best_iteration"]
    iteration = about["iteration"]
    return about["descent"], State(iteration, *pair(), memory, rows, limit, best, best_iteration, best_rmse)
