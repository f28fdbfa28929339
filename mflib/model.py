"""A factorization for use on ratings of one's own: fit, predict, recommend, save, load.

It follows the conventions of scikit-learn, which takes a second to import: `mflib.Factorization` imports this
module at its first use.
"""

import math

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from mflib import checks, columns, rules
from mflib.axis import Axis
from mflib.descent import descend, random_factors
from mflib.predictor import Predictor
from mflib.rows import extended, shrunken_means


class Factorization(Predictor, BaseEstimator):
    """Ratings as a sum of means and a product of factors: ŷ_ij = μ + b_i + c_j + u_i · v_j (E18).

    `fit` minimizes E16 on the standardized ratings (y − μ) / σ, with μ the mean and σ the standard deviation
    of the training ratings, so that every setting means the same for ratings from 1 to 5 and from 0 to 100;
    what it has learned is in rating points. Nothing need be set.

    Parameters
    ----------
    n_factors : int
        k, at least 1.
    biases : bool
        Whether to learn b_i and c_j; else they are 0.
    rule, learning_rate, momentum, scaling, reg, reg_weighting, iterations, patience, progress
        As for `descend`; the rule "alternating" needs no scaling, and `patience` needs validation ratings. By
        default 10 iterations of "alternating", which are worth many, and 60 of any other rule.
    init_scale : float
        Standard deviation of the random factors at the start, for standardized ratings: from 1e-6 to 1e6, far
        beyond what is of use, so that products of factors are numbers other than 0 in float32 too.
    rating_range : tuple of float, optional
        (lowest, highest) that is ever predicted; by default those of the training ratings. With
        (-math.inf, math.inf) nothing is clipped.
    warm_start : bool
        Whether `fit` goes on from what the last `fit` learned about the users and items that it knew, of the
        same labels or indices. New ones start at random, those without a rating any more are forgotten.
    seed : int
        Of the random start.
    dtype : {"float32", "float64"}
        In which to compute and to keep what was learned.

    Attributes
    ----------
    mean_, std_ : float
        μ and σ.
    U_, V_ : ndarray of dtype, shapes (n_users, n_factors) and (n_items, n_factors)
        Factors; 0 for users and items without a training rating.
    user_biases_, item_biases_ : ndarray of dtype, shapes (n_users,) and (n_items,)
        b and c.
    user_labels_, item_labels_ : list or None
        The id of each row; None where the training ratings had indices.
    user_counts_, item_counts_ : ndarray of int64, shapes (n_users,) and (n_items,)
        Training ratings of each.
    rating_range_ : tuple of float
        To which predictions are clipped.
    history_ : structured ndarray
        As of `descend`, in rating points.
    n_iter_ : int
        Updates that were made.
    stopped_because_ : str
        As of `descend`.

    Notes
    -----
    A user or item is *unknown* where it has no training rating, also where its index lies within the shape.
    A model that was fitted keeps the training ratings, to leave out of recommendations what was seen.

    Examples
    --------
    >>> from mflib import Factorization, Ratings
    >>> users, items = ["ann", "ann", "bob", "bob", "cem"], ["Alien", "Brazil", "Alien", "Cube", "Cube"]
    >>> model = Factorization(n_factors=2).fit(Ratings.from_arrays(users, items, [5, 4, 3, 1, 2]))
    >>> model.predict("ann", "Alien") > model.predict("bob", "Alien")
    True
    >>> [item for item, rating in model.recommend("ann")]
    ['Cube']
    """

    def __init__(
        self,
        n_factors=50,
        *,
        biases=True,
        rule="alternating",
        learning_rate=None,
        momentum=0.9,
        scaling="count",
        reg=1.2,
        reg_weighting="sqrt",
        iterations=None,
        patience=None,
        init_scale=0.1,
        rating_range=None,
        warm_start=False,
        seed=0,
        dtype="float32",
        progress=False,
    ):
        self.n_factors = n_factors
        self.biases = biases
        self.rule = rule
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.scaling = scaling
        self.reg = reg
        self.reg_weighting = reg_weighting
        self.iterations = iterations
        self.patience = patience
        self.init_scale = init_scale
        self.rating_range = rating_range
        self.warm_start = warm_start
        self.seed = seed
        self.dtype = dtype
        self.progress = progress

    def fit(self, ratings, validation=None):
        """Learn from ratings.

        Parameters
        ----------
        ratings : Ratings
        validation : Ratings, optional
            Held out, of the same shape and labels (`Ratings.split`): the factors with the lowest RMSE on them
            are kept, and with `patience` the descent ends when it falls no more.

        Returns
        -------
        self
            Ctrl-C ends the descent and keeps what there is.

        Raises
        ------
        DivergenceError
            As `descend` does, where a number was given as the learning rate.
        TypeError, ValueError
            Where a parameter or the ratings do not fit; the model is as it was.

        Notes
        -----
        Memory for the values of the ratings once more, and that of `descend`.
        """
        dtype = self._checked(ratings, validation)
        mean, std = _moments(ratings.values)
        U, V = self._start(ratings, std, dtype)
        found = descend(
            ratings.shifted(-mean, 1 / std, dtype),
            U,
            V,
            self.rule,
            learning_rate=self.learning_rate,
            iterations=self._iterations(),
            momentum=self.momentum,
            reg=self.reg,
            reg_weighting=self.reg_weighting,
            biases=self.biases,
            scaling=None if self.rule == "alternating" else self.scaling,
            validation=None if validation is None else validation.shifted(-mean, 1 / std, dtype),
            patience=self.patience,
            progress=self.progress,
        )
        self._keep(ratings, mean, std, found)
        return self

    def _checked(self, ratings, validation):
        """Check what `descend` will not; the dtype."""
        checks.ratings("ratings", ratings)
        if validation is not None:
            checks.same_shape("validation", validation, ratings)
            if validation._labels != ratings._labels:
                raise ValueError(
                    "validation must have the labels of the training ratings: make both with Ratings.split"
                )
        checks.whole_number("n_factors", self.n_factors, 1)
        checks.choice("scaling", self.scaling, rules.SCALINGS)
        checks.whole_number("seed", self.seed, 0)
        checks.real_number("init_scale", self.init_scale, 1e-6, 1e6)
        for name in ("biases", "warm_start", "progress"):
            checks.truth(name, getattr(self, name))
        if self.rating_range is not None:
            _checked_range(self.rating_range)
        dtype = checks.float_dtype("dtype", self.dtype)
        if (largest := float(max(-ratings.values.min(), ratings.values.max()))) > float(np.finfo(dtype).max):
            raise ValueError(f"ratings: {largest:g} is too large for {dtype}: use dtype='float64'")
        return dtype

    def _iterations(self):
        """How many, where nobody has said so."""
        if self.iterations is None:
            return 10 if self.rule == "alternating" else 60
        return self.iterations

    def _start(self, ratings, std, dtype):
        """Where the descent begins: at random, 0 where nothing is to be learned, or from the last fit."""
        factors = random_factors(ratings.shape, self.n_factors, self.seed, self.init_scale, dtype=dtype)
        biases = [np.zeros(len(W), dtype) for W in factors]
        if self.warm_start and hasattr(self, "mean_"):
            self._go_on(ratings, std, factors, biases)
        for W, b, counts in zip(factors, biases, (ratings.user_counts, ratings.item_counts), strict=True):
            W[counts == 0] = b[counts == 0] = 0
        if not self.biases:
            return factors
        return [extended(W, b, 1, side) for side, (W, b) in enumerate(zip(factors, biases, strict=True))]

    def _go_on(self, ratings, std, factors, biases):
        """Put what the last fit learned into a start."""
        if self.U_.shape[1] != self.n_factors:
            raise ValueError(
                f"n_factors is {self.n_factors}, the model to go on from has {self.U_.shape[1]}: fit with "
                "warm_start=False"
            )
        learned = (self.U_, self.user_biases_), (self.V_, self.item_biases_)
        for axis, labels, W, b, (W_before, b_before) in zip(
            self._axes, ratings._labels, factors, biases, learned, strict=True
        ):
            if (labels is None) != (axis.labels is None):
                raise ValueError(
                    f"ratings must have {axis.what} labels if and only if those of the last fit had: fit "
                    "with warm_start=False"
                )
            rows = axis.rows(np.arange(len(W)) if labels is None else labels)
            known = rows < len(axis)
            W[known] = W_before[rows[known]] / math.sqrt(std)
            b[known] = b_before[rows[known]] / std

    def _keep(self, ratings, mean, std, found):
        """Take over what was learned, in rating points."""
        axes = (
            Axis("user", ratings.user_labels, ratings.user_counts),
            Axis("item", ratings.item_labels, ratings.item_counts),
        )
        factors = []
        for side, W in enumerate((found.U, found.V)):
            if self.biases:
                W, biases = W[:, :-2], W[:, side - 2] * std
            else:
                biases = shrunken_means(ratings, side, mean)
            factors.append(extended(W * math.sqrt(std), biases, int(self.biases), side))
        if not all(np.isfinite(W).all() for W in factors):
            raise ValueError(
                f"ratings: what was learned of them is too large for {found.U.dtype}: use dtype='float64'"
            )
        history = found.history.copy()
        for field, unit in (("loss", std**2), ("objective", std**2), ("validation_rmse", std)):
            if field in history.dtype.names:
                history[field] *= unit
        low, high = self.rating_range or (ratings.values.min(), ratings.values.max())
        self._set(
            *factors,
            axes,
            ratings,
            bool(self.biases),
            mean_=mean,
            std_=std,
            rating_range_=(float(low), float(high)),
            history_=history,
            stopped_because_=found.stopped_because,
        )

    def save(self, path):
        """Write the model to a file for `load`; what stood there is replaced.

        It holds the parameters, what was learned, the labels, and which items each user has seen (4 bytes a
        training rating), as `recommend` needs it; nothing pickled.

        Parameters
        ----------
        path : str or path
            An uncompressed .npz, so `numpy.load` reads its arrays too.

        Raises
        ------
        OSError
            Where the file cannot be written; what stood there before is as it was.
        sklearn.exceptions.NotFittedError
        TypeError
            Where a label is no number, text, bytes, or tuple of these.
        """
        from mflib import model_file

        check_is_fitted(self)
        model_file.save(path, self)

    @classmethod
    def load(cls, path):
        """The model of a file of `save`, of which the check sums are compared; it predicts the same bits.

        Raises
        ------
        FileNotFoundError, ValueError
            Where there is no such file, it is of a newer mflib, another file, or damaged.
        """
        from mflib import model_file

        return model_file.load(path, cls)


def _moments(values):
    """Mean and standard deviation, in float64; 1 where all values are as good as equal."""
    # one after another: np.sum adds in an order that depends on the processor
    with np.errstate(over="ignore", invalid="ignore"):
        mean = sum(float(np.add.accumulate(chunk, dtype=np.float64)[-1]) for chunk in columns.chunks(values))
        mean /= len(values)
        squares = (np.square(np.subtract(chunk, mean, dtype=np.float64)) for chunk in columns.chunks(values))
        std = math.sqrt(sum(float(np.add.accumulate(square)[-1]) for square in squares) / len(values))
    if not math.isfinite(std):
        raise ValueError("ratings: the values are too large to be squared: give them in larger units")
    noise = max(10 * float(np.finfo(values.dtype).eps) * abs(mean), float(np.finfo(np.float64).tiny))
    return mean, std if std > noise else 1.0


def _checked_range(rating_range):
    """That a range is one."""
    if not isinstance(rating_range, tuple | list) or len(rating_range) != 2:
        raise ValueError(f"rating_range must be (lowest, highest), or None, got {rating_range!r}")
    low, high = (
        checks.real_number(f"rating_range[{place}]", bound, -math.inf, math.inf)
        for place, bound in enumerate(rating_range)
    )
    if not (low <= high and low < math.inf and high > -math.inf):
        raise ValueError(f"rating_range must be (lowest, highest), got {rating_range!r}")
