"""Who is measured by `evaluation`: each makes ready what may be kept between steps of a descent, then returns
a function without arguments that gives the loss and both gradients (E04, E13, E14) as NumPy arrays.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from mflib import get_num_threads, loss_and_gradients, set_num_threads, sparse_numpy

REFERENCE = Path(__file__).with_name("reference.c")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC")


class LeftOut(Exception):
    """Why a contender cannot be measured here."""


def cores():
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def mflib_all(ratings, U, V):
    """mflib, on all threads."""
    return lambda: loss_and_gradients(ratings, U, V)


def mflib_one(ratings, U, V):
    """mflib, on one thread."""

    def evaluate():
        before = get_num_threads()
        set_num_threads(1)
        try:
            return loss_and_gradients(ratings, U, V)
        finally:
            set_num_threads(before)

    return evaluate


def numpy_scipy(ratings, U, V):
    """NumPy and SciPy: residuals block by block, as gathering all rows would take twice as long, then Δ V and
    Δᵀ U, where SciPy's transposed view is faster than a second matrix.
    """
    users, scale = ratings.users, U.dtype.type(-2 / ratings.n_ratings)

    def evaluate():
        D = ratings.values - sparse_numpy.predict_pairs(U, V, users, ratings.items)
        D_by_user = csr_array((D, ratings.items, ratings.user_starts), shape=ratings.shape)
        grad_U, grad_V = D_by_user @ V, D_by_user.T @ U
        grad_U *= scale
        grad_V *= scale
        return float(np.sum(np.square(D, dtype=np.float64)) / len(D)), grad_U, grad_V

    return evaluate


def torch_autograd(ratings, U, V):
    """The loss in PyTorch, differentiated by it; `embedding` is its quickest way to gather rows."""
    torch = _torch()
    # the gathered rows, and as many gradients, are there at once
    needed = 5 * ratings.n_ratings * (U.shape[1] * U.itemsize + 8)
    if needed > memory_available():
        raise LeftOut(f"needs about {needed / 1e9:.0f} GB of memory, more than is free")
    users, items = (torch.from_numpy(indices.astype(np.int64)) for indices in (ratings.users, ratings.items))
    values = torch.from_numpy(ratings.values.copy())
    A, B = (torch.from_numpy(W.copy()).requires_grad_() for W in (U, V))
    rows = torch.nn.functional.embedding

    def evaluate():
        A.grad = B.grad = None
        E = (values - (rows(users, A) * rows(items, B)).sum(1)).square().mean()
        E.backward()
        return E.item(), A.grad.numpy(), B.grad.numpy()

    return evaluate


def torch_sampled(ratings, U, V):
    """PyTorch's `sampled_addmm` for the residuals, then two products of a sparse matrix with a dense one."""
    torch = _torch()
    tensor = lambda array: torch.from_numpy(array.copy())  # noqa: E731
    n, m = ratings.shape
    # 32 bits, as the indices of the ratings, which is what MKL takes without a copy
    starts, item_starts = (
        tensor(array.astype(np.int32)) for array in (ratings.user_starts, ratings.item_starts)
    )
    Y = torch.sparse_csr_tensor(starts, tensor(ratings.items), tensor(ratings.values), (n, m))
    users, by_item = tensor(ratings.users_by_item), tensor(ratings.by_item.astype(np.int64))
    A, B, scale = tensor(U), tensor(V), -2 / ratings.n_ratings

    def evaluate():
        D = torch.sparse.sampled_addmm(Y, A, B.T, alpha=-1.0)
        by_user = D.values()
        D_by_item = torch.sparse_csr_tensor(item_starts, users, by_user[by_item], (m, n))
        grad_U, grad_V = D @ B, D_by_item @ A
        E = by_user.square().mean(dtype=torch.float64).item()
        return E, grad_U.mul_(scale).numpy(), grad_V.mul_(scale).numpy()

    return evaluate


def c_reference(ratings, U, V):
    """`reference.c`, on all cores."""
    if ratings.items.dtype != np.int32 or ratings.users_by_item.dtype != np.int32:
        raise LeftOut("takes indices of 32 bits")
    function = _compiled(U.shape[1], 8 * U.itemsize)
    grad_U, grad_V = np.empty_like(U), np.empty_like(V)
    arrays = (
        *(ratings.user_starts, ratings.items, ratings.values),
        *(ratings.item_starts, ratings.users_by_item, ratings.values_by_item),
        *(U, V, grad_U, grad_V),
    )
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
    sizes = [ctypes.c_int64(size) for size in ratings.shape]

    def evaluate():
        return function(*pointers, *sizes), grad_U, grad_V

    # pointers alone would not keep them alive
    evaluate.arrays = arrays
    return evaluate


CONTENDERS = {
    "mflib": mflib_all,
    "mflib, 1 thread": mflib_one,
    "C reference": c_reference,
    "torch sampled_addmm": torch_sampled,
    "NumPy + SciPy": numpy_scipy,
    "torch autograd": torch_autograd,
}


def compiler():
    """The C compiler and its version, or None."""
    path = shutil.which(os.environ.get("CC", "cc"))
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0] if said else "unknown"


@functools.cache
def _compiled(k, bits):
    """`evaluate` of the reference, compiled for this k and kind of number."""
    if compiler() is None:
        raise LeftOut("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder) / "reference.so")
        command = [os.environ.get("CC", "cc"), *FLAGS, f"-DK={k}", f"-DBITS={bits}", "-o", library, REFERENCE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LeftOut(f"does not compile: {done.stderr.strip().splitlines()[0]}")
        function = ctypes.CDLL(library).evaluate
    function.restype = ctypes.c_double
    return function


@functools.cache
def _torch():
    """PyTorch on all cores."""
    try:
        import torch
    except ImportError as error:
        raise LeftOut(f"PyTorch is not installed ({error})") from error
    torch.set_num_threads(cores())
    return torch


def memory_available():
    """Bytes that may still be taken; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
