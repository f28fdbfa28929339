"""The package as a whole: its names, its version, and how little it loads."""

import importlib.metadata
import subprocess
import sys

import pytest

import mflib

HEAVY = ("mlflow", "papermill", "matplotlib", "pandas", "scipy", "pyarrow", "numba", "llvmlite")
HEAVY += ("tqdm", "yaml", "jinja2", "IPython", "nbformat", "sqlalchemy", "zipfile", "sklearn", "dask")


def test_importing_mflib_loads_nothing_heavy():
    code = f"import sys, mflib; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_sorted_and_documented():
    assert mflib.__all__ == sorted(mflib.__all__)
    for name in mflib.__all__:
        assert getattr(mflib, name).__doc__, name


def test_the_promised_names_are_public():
    promised = {"Ratings", "dense", "datasets", "loss", "gradients", "loss_and_gradients", "descend"}
    assert promised | {"DivergenceError", "Factorization"} <= set(mflib.__all__)


def test_the_estimator_is_listed_before_it_is_loaded():
    code = "import mflib; print('Factorization' in dir(mflib), 'Factorization' in vars(mflib))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    with pytest.raises(AttributeError, match="module 'mflib' has no attribute 'Factorisation'"):
        _ = mflib.Factorisation


def test_the_version_is_that_of_the_distribution():
    assert mflib.__version__ == importlib.metadata.version("mflib")
