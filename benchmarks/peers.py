"""Other ways to the loss and both gradients (E04, E13, E14) on ratings, each as good as its library allows.

Each function takes (ratings, U, V), makes once what does not change from call to call, and returns what is
timed: a function without arguments that returns (E, grad_U, grad_V) as NumPy arrays.
"""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

from mflib import sparse_numpy


class NotHere(Exception):
    """Why a peer cannot run here."""


def numpy_scipy(ratings, U, V):
    """Gathered rows for the residuals, then SciPy's products of sparse matrices."""
    return lambda: sparse_numpy.loss_and_gradients(ratings, U, V)


def torch_autograd(ratings, U, V):
    """The loss over gathered rows, as most people would write it, differentiated by torch."""
    import torch

    users, items, y = (_tensor(a) for a in (ratings.users.astype(np.int64), ratings.items, ratings.values))
    items = items.long()
    factors = [_tensor(W).requires_grad_() for W in (U, V)]

    def evaluate():
        for W in factors:
            W.grad = None
        predicted = (torch.nn.functional.embedding(users, factors[0]) * factors[1][items]).sum(1)
        E = ((y - predicted) ** 2).mean()
        E.backward()
        return E.item(), factors[0].grad.numpy(), factors[1].grad.numpy()

    return evaluate


def torch_sampled(ratings, U, V):
    """`sampled_addmm` for the residuals, and two products of sparse matrices."""
    import torch

    n, m = ratings.shape
    starts, items, item_starts, users = (
        _tensor(indices).int()
        for indices in (ratings.user_starts, ratings.items, ratings.item_starts, ratings.users_by_item)
    )
    Y = torch.sparse_csr_tensor(starts, items, _tensor(ratings.values), (n, m))
    by_item = _tensor(ratings.by_item).long()
    U, V = _tensor(U), _tensor(V)
    scale = -2 / ratings.n_ratings

    def evaluate():
        D = torch.sparse.sampled_addmm(Y, U, V.T, alpha=-1.0, beta=1.0)
        D_by_item = torch.sparse_csr_tensor(item_starts, users, D.values()[by_item], (m, n))
        E = D.values().double().square().mean().item()
        return E, ((D @ V) * scale).numpy(), ((D_by_item @ U) * scale).numpy()

    return evaluate


def c_reference(ratings, U, V):
    """benchmarks/reference.c, compiled for this processor and this number of factors."""
    evaluate = _compiled(U.shape[1], U.dtype.itemsize * 8)
    grad_U, grad_V = np.empty_like(U), np.empty_like(V)
    arrays = (
        ratings.user_starts,
        ratings.items.view(np.uint32),
        ratings.values,
        ratings.item_starts,
        ratings.users_by_item.view(np.uint32),
        ratings.values_by_item,
        U,
        V,
        grad_U,
        grad_V,
    )
    arguments = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    sizes = [ctypes.c_int64(rows) for rows in ratings.shape]
    return lambda: (evaluate(*arguments, *sizes), grad_U, grad_V, arrays)[:3]


FOLDER = Path(__file__).resolve().parent


def _compiled(k, bits):
    """The C function for k factors of so many bits."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise NotHere("there is no C compiler")
    library = FOLDER / "results" / f"reference_{k}_{bits}.so"
    library.parent.mkdir(exist_ok=True)
    options = [
        "-O3",
        "-march=native",
        "-ffast-math",
        "-fopenmp",
        "-shared",
        "-fPIC",
        f"-DK={k}",
        f"-DBITS={bits}",
    ]
    command = [compiler, *options, "-o", str(library), str(FOLDER / "reference.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotHere(f"reference.c does not compile: {done.stderr.strip().splitlines()[-1]}")
    evaluate = ctypes.CDLL(str(library)).evaluate
    evaluate.restype = ctypes.c_double
    return evaluate


def _tensor(array):
    import torch

    return torch.from_numpy(np.array(array))  # a copy: torch wants arrays that can be written
