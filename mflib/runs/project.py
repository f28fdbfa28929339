"""Where the notebooks, params files and runs are, and the error for whoever asks for something else."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from mflib.text import literal


class InputError(ValueError):
    """What the user gave cannot be used; the message is one sentence that names the place."""


def root() -> Path:
    """The folder of notebooks/, params/ and mlruns/: MFLIB_ROOT, else the checkout of this package."""
    given = os.environ.get("MFLIB_ROOT")
    return Path(given).resolve() if given else Path(__file__).resolve().parents[2]


def find_notebook(name: str, place: str) -> Path:
    """The notebook of this name.

    Parameters
    ----------
    name : str
        With or without `.ipynb`; only the names of files in notebooks/ are valid, so no path leads elsewhere.
    place : str
        Where the name was given, for the message.

    Raises
    ------
    InputError
        If there is none, with the nearest name; or if it is a link to a file elsewhere.
    """
    folder = root() / "notebooks"
    found = sorted(path for path in folder.glob("*.ipynb") if path.is_file() and path.stem.isprintable())
    notebooks = {path.stem: path for path in found}
    if not notebooks:
        raise InputError(f"{root()}: has no notebooks/; set MFLIB_ROOT to the checkout that has")
    stem = name.removesuffix(".ipynb")
    if stem not in notebooks:
        raise InputError(f"{place}: unknown notebook {literal(name)}{nearest(stem, notebooks)}")
    if notebooks[stem].resolve().parent != folder.resolve():
        raise InputError(f"{place}: {stem}.ipynb is a link that leads out of notebooks/; copy the notebook")
    return notebooks[stem]


def find_params(name: str) -> Path:
    """The params file of this name, relative to the working folder, else to the root.

    Raises
    ------
    InputError
        If there is no such file, with the nearest name.
    """
    for path in (Path(name), root() / name):
        if path.is_file():
            return path.resolve()
        if path.is_dir():
            raise InputError(f"{name}: is a folder, expected a params file")
    there = [f"params/{path.name}" for path in sorted((root() / "params").glob("*.yaml"))]
    raise InputError(f"{name}: no such params file{nearest(name, there)}")


def shown(path: Path) -> str:
    """The path as the user would write it: relative to the root where it lies there."""
    return str(path.relative_to(root())) if path.is_relative_to(root()) else str(path)


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message that says which valid name was probably meant.

    Examples
    --------
    >>> nearest("lerning_rate", ["learning_rate", "seed"])
    "; did you mean 'learning_rate'?"
    >>> nearest("x", ["learning_rate", "seed"])
    "; valid are 'learning_rate', 'seed'"
    """
    valid = list(valid)
    close = difflib.get_close_matches(name, valid, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return "; valid are " + ", ".join(map(repr, valid)) if valid else "; there is none"
