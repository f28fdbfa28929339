"""What a descent lowers: loss and penalty (E16, E17), with biases as columns (E18), and along a line (E19).

One code for both twins and for every kind of number: rational arithmetic runs through the very lines that are
shipped. No BLAS product enters, and one thread does it all: the bits do not depend on the number of threads.
"""

from functools import partial

import numpy as np

from mflib import checks, dense, sparse
from mflib.elementwise import zero
from mflib.quartic import line_minimum

__all__ = ["REG_WEIGHTINGS", "Objective", "line_minimum"]

# The weights a and b of E16, from the numbers of ratings.
REG_WEIGHTINGS = {"plain": np.ones_like, "count": np.copy, "sqrt": np.sqrt}
# Rows whose penalty is added to a gradient at once: a block that stays in cache.
ROWS = 1024


class Objective:
    """J = E + (λ/N) (Σ_i a_i ‖u_i‖² + Σ_j b_j ‖v_j‖²) (E16), its gradients (E17), and J along a line (E19).

    Made by `of_ratings` or `of_dense`. With `biases` (E18) the last two columns of U are (b_i, 1) and those
    of V are (1, c_j), so that ŷ_ij = b_i + c_j + u_i · v_j: U[:, -1] and V[:, -2] are held at 1, that is,
    their gradient is 0 and they are not penalized. Ratings then are less their mean μ.

    Attributes
    ----------
    N : int
        Number of ratings (E03).
    a, b : ndarray of int or float64, shapes (n_users,) and (n_items,)
        Weights of the penalty: 1, the numbers of ratings of each user and each item, or their square roots.
    reg : scalar
        λ.
    biases : bool

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0], [0], [5.0], shape=(1, 1))
    >>> U, V = np.array([[1.0]]), np.array([[4.0]])
    >>> objective = Objective.of_ratings(ratings, reg=0.5)
    >>> objective.loss(U, V), float(objective.value(U, V))
    (1.0, 9.5)
    >>> objective.evaluate(U, V)[2:]
    (array([[-7.]]), array([[2.]]))
    """

    def __init__(self, twin, data, N, counts, reg, reg_weighting, biases):
        checks.real_number("reg", reg, 0, np.inf, high_open=True)
        checks.choice("reg_weighting", reg_weighting, tuple(REG_WEIGHTINGS))
        self.N, self.reg, self.biases = N, reg, bool(biases)
        self.a, self.b = map(REG_WEIGHTINGS[reg_weighting], counts)
        self._loss, self._loss_and_gradients, self._line = (
            partial(function, *data) for function in (twin.loss, twin.loss_and_gradients, twin.line)
        )

    @classmethod
    def of_ratings(cls, ratings, reg=0.0, reg_weighting="plain", biases=False):
        """The objective on `Ratings`, in O(N k) time.

        Parameters
        ----------
        ratings : Ratings
        reg : float
            λ ≥ 0.
        reg_weighting : {"plain", "count", "sqrt"}
            a = b = 1, or the numbers of ratings of each user and each item, or their square roots.
        biases : bool
            Whether the last two columns of U and V are those of E18.

        Raises
        ------
        TypeError, ValueError
            Where an argument does not fit; its methods raise what `sparse.loss` does.
        """
        checks.ratings("ratings", ratings)
        counts = ratings.user_counts, ratings.item_counts
        return cls(sparse, (ratings,), ratings.n_ratings, counts, reg, reg_weighting, biases)

    @classmethod
    def of_dense(cls, Y, R, reg=0, reg_weighting="plain", biases=False):
        """The objective on a matrix Y and its mask R: for Fractions too, with λ a Fraction or a whole number.

        Parameters
        ----------
        Y : ndarray, shape (n_users, n_items)
            What stands where R is 0 is never looked at.
        R : ndarray of 0 and 1, shape (n_users, n_items)
        reg, reg_weighting, biases
            As for `of_ratings`.

        Raises
        ------
        TypeError, ValueError
            Where an argument does not fit; its methods raise what `dense.loss` does.
        """
        mask = checks.mask(Y, R)
        counts = mask.sum(axis=1), mask.sum(axis=0)
        return cls(dense, (Y, R), dense.count(R), counts, reg, reg_weighting, biases)

    def loss(self, U, V):
        """The loss E (E04).

        Parameters
        ----------
        U : ndarray, shape (n_users, k)
        V : ndarray, shape (n_items, k)

        Returns
        -------
        scalar
            Rating points squared.

        Raises
        ------
        TypeError, ValueError
            Where U and V do not fit; with biases they have two columns at least.
        """
        return self._loss(*self._checked(U, V))

    def value(self, U, V):
        """The objective J (E16), the penalty summed in float64.

        Parameters and errors as for `loss`.

        Returns
        -------
        scalar
        """
        return self.loss(U, V) + self.penalty(U, V)

    def penalty(self, U, V):
        """The penalty J − E (E16), summed in float64; parameters as for `loss`.

        Returns
        -------
        scalar
        """
        return self._penalty((U, U), (V, V))

    def evaluate(self, U, V):
        """Loss (E04), objective (E16) and its gradients (E17), which are 0 in the columns held at 1 (E18).

        Parameters and errors as for `loss`.

        Returns
        -------
        E, J : scalar
        grad_U : ndarray, shape (n_users, k)
        grad_V : ndarray, shape (n_items, k)
            Of the kind of U and V.

        Notes
        -----
        2 (n + m) k operations beside those of E and its gradients, and no array of that size.
        """
        E, *gradients = self._loss_and_gradients(*self._checked(U, V))
        sides = zip((U, V), gradients, (self.a, self.b), free_columns(self.biases), strict=True)
        for W, grad, weights, free in sides:
            if self.reg:
                add_penalty(grad, W, weights, free, self.reg, self.N)
        if self.biases:
            grad_U, grad_V = gradients
            grad_U[:, -1], grad_V[:, -2] = zero(grad_U), zero(grad_V)
        return E, E + self.penalty(U, V), *gradients

    def along(self, U, V, P, Q):
        """The objective along a line (E19): the coefficients of J(U + t P, V + t Q), a polynomial in t.

        Parameters
        ----------
        U, V : ndarray
            As for `loss`.
        P, Q : ndarray, of the dtype and shapes of U and V
            The direction; to hold the columns of E18 it is 0 there, as the gradients are.

        Returns
        -------
        ndarray, shape (5,)
            The coefficients of 1, t, t², t³ and t⁴.

        Raises
        ------
        TypeError, ValueError
            As for `loss`; P and Q too must fit.

        Notes
        -----
        One pass over the ratings, 8 N k operations, and 6 (n + m) k for the penalty.
        """
        coefficients = self._line(*self._checked(U, V), P, Q)
        if not self.reg:
            return coefficients
        # a ‖u + t p‖² = a ‖u‖² + 2 t a u · p + t² a ‖p‖²
        constant, slope, square = (
            self._penalty(*pairs) for pairs in (((U, U), (V, V)), ((U, P), (V, Q)), ((P, P), (Q, Q)))
        )
        nothing = 0 * constant
        return coefficients + np.array([constant, 2 * slope, square, nothing, nothing])

    def _checked(self, U, V):
        """U and V; their shapes are checked by the twin, but for the columns that biases need."""
        if self.biases:
            checks.factors(U, V)
            if U.shape[1] < 2:
                raise ValueError(
                    f"with biases U and V must have two columns at least (axis 1), got U {U.shape}: "
                    "append (b_i, 1) to U and (1, c_j) to V, or use biases=False"
                )
        return U, V

    def _penalty(self, of_U, of_V):
        """(λ/N) (Σ_i a_i u_i · p_i + Σ_j b_j v_j · q_j) for (U, P) and (V, Q), over the free columns."""
        if not self.reg:
            return 0
        total = 0
        sides = zip((of_U, of_V), (self.a, self.b), free_columns(self.biases), strict=True)
        for (W, D), weights, free in sides:
            total = weighted_products(W, D, weights, free, total)
        return self.reg * total / self.N


def free_columns(biases):
    """The columns of U and of V that are trained and penalized: all, or but those held at 1 (E18)."""
    everything = (slice(None),)
    return ((slice(-1),), (slice(-2), slice(-1, None))) if biases else (everything, everything)


def weighted_products(W, D, weights, free, total=0):
    """`total` and Σ_i a_i w_i · d_i over the free columns, in float64 at least."""
    kind = np.result_type(W, D, np.float64)
    for columns in free:
        products = np.einsum("is,is->i", W[:, columns], D[:, columns], dtype=kind)
        # One after another: np.sum adds in an order that depends on the processor.
        total = total + np.add.accumulate(weights * products)[-1]
    return total


def add_penalty(grad, W, weights, free, reg, N):
    """Add (2λ/N) a_i u_ik to each free entry of a gradient (E17), some rows at a time."""
    # A weight becomes a Fraction before N divides it, or whole numbers would make a float.
    per_row = (2 * reg * (weights + zero(grad)) / N).astype(grad.dtype)[:, None]
    for start in range(0, len(W), ROWS):
        rows = slice(start, start + ROWS)
        for columns in free:
            grad[rows, columns] += per_row[rows] * W[rows, columns]
