"""The ledger: every equation with its statement, the functions it speaks of, its proofs and its mutants.

A new form of the gradient joins the proofs by one line in `GRADIENT_FORMS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mflib import dense, descent, rules, sparse
from mflib.ratings import Ratings
from mflib.verify import mutants, spelled
from mflib.verify.provers import FLOATS, Subject, derivative_reference

U_PART, V_PART, BOTH = (0,), (1,), (0, 1)  # which of (∂U, ∂V)


@dataclass(frozen=True)
class Equation:
    """One entry of the ledger.

    Attributes
    ----------
    id : str
        As in the lecture's numbering, E01 to E15.
    statement : str
        In plain signs.
    latex : str
    subjects : mapping of str to Subject
        The functions it speaks of, by name.
    reference : callable
        What they must equal, in Fractions: a sum spelled out, or an exact derivative.
    mutants : mapping of str to callable
        Wrong versions that the proofs must refuse.
    derivative_of : callable or None
        For a statement about a derivative: f(Y, R, U, V).
    part : tuple of int
        Which of (∂U, ∂V) it is about.
    slack : callable or None
        See `provers.exact`.
    """

    id: str
    statement: str
    latex: str
    subjects: Mapping[str, Subject]
    reference: Callable
    mutants: Mapping[str, Callable]
    derivative_of: Callable | None = None
    part: tuple = BOTH
    slack: Callable | None = None


def _on_ratings(function):
    """A function of (ratings, U, V) as one of (Y, R, U, V)."""
    return lambda Y, R, U, V: function(Ratings.from_dense(Y, R).astype(U.dtype), U, V)


# The forms of the gradient: a later one joins by a line here.
_dense_products = Subject(dense.gradients, loss=dense.loss)
_sparse_loss = _on_ratings(sparse.loss)
GRADIENT_FORMS = {
    "dense.gradients": _dense_products,
    "sparse.gradients": Subject(_on_ratings(sparse.gradients), FLOATS, _sparse_loss),
    "sparse.loss_and_gradients": Subject(
        lambda *problem: _on_ratings(sparse.loss_and_gradients)(*problem)[1:], FLOATS, _sparse_loss
    ),
}


def _parts(subjects, part):
    """The same subjects, returning one of (∂U, ∂V) alone."""
    return {
        name: Subject(_part(subject.function, part), subject.kinds, subject.loss)
        for name, subject in subjects.items()
    }


def _part(function, part):
    def chosen(*problem):
        both = function(*problem)
        return tuple(both[place] for place in part)

    return chosen


def _observed(Y, R, U, V):
    """E02 on a matrix with nothing in the unobserved places, and an observed zero."""
    empty = None if Y.dtype == object else np.nan
    return dense.observed(np.where(R == 1, np.where(np.arange(Y.size).reshape(Y.shape) % 2, Y, 0), empty))


def _observed_by_ratings(Y, R, U, V):
    return Ratings.from_dense(np.where(np.isnan(Y), Y, 0), R).to_dense()[1]


def _predict_pairs(Y, R, U, V):
    users, items = (places.ravel() for places in np.indices(Y.shape))
    return sparse.predict_pairs(U, V, users, items).reshape(Y.shape)


def _sparse_residual(Y, R, U, V):
    """The residuals of the observed ratings, put back in their places."""
    ratings = Ratings.from_dense(Y, R).astype(U.dtype)
    D = np.zeros(Y.shape, dtype=U.dtype)
    D[ratings.users, ratings.items] = sparse.residual(ratings, U, V)
    return D


def _eta(W):
    return spelled.ETA if W.dtype == object else float(spelled.ETA)


def _plain_rule(Y, R, U, V):
    """What the rule adds to w, added."""
    return U + rules.plain(_eta(U), momentum=0)(None, [U[::-1]])[0]


def _update(Y, R, U, V):
    return dense.update(Y, R, U, V, _eta(U))


def _one_iteration(Y, R, U, V):
    """One plain iteration of `descend`; whatever the loss does, one step is taken."""
    ratings = Ratings.from_dense(Y, R).astype(U.dtype)
    steps = []
    descent.descend(
        ratings, U, V, learning_rate=_eta(U), iterations=1, callback=lambda row, U, V: steps.append((U, V))
    )
    return steps[-1]


def _prediction(Y, R, U, V):
    """The prediction that E06 derives: that of the last observed place."""
    i, j = mutants.last_observed(R)
    return dense.predict(U, V)[i, j]


def _prediction_derivative(Y, R, U, V):
    return dense.prediction_derivative(U, V, *mutants.last_observed(R))


def _largest_factor(problem):
    """An update adds to U or V, so their size is what the sum rounds by."""
    return max(np.max(np.abs(problem.U)), np.max(np.abs(problem.V)))


GRADIENT_MUTANTS = {
    "mask dropped": mutants.gradients_mask_dropped,
    "factor 2 missing": mutants.gradients_factor_2_missing,
    "sign": mutants.gradients_sign,
    "V for U": mutants.gradients_V_for_U,
    "transposed": mutants.gradients_transposed,
    "N = n m": mutants.gradients_mean_over_all,
    "0.1 % too large": mutants.gradients_factor_off_by_a_thousandth,
    "M5: user gradient is item gradient": mutants.gradients_M5_user_is_item,
}
UPDATE_MUTANTS = {
    "uphill": mutants.update_uphill,
    "factor 2 missing": mutants.update_factor_2_missing,
    "one after the other": mutants.update_one_after_the_other,
}


LOSS_GRADIENT = derivative_reference(dense.loss)  # one object, so that its answers are computed once


def _mutants(functions, part):
    return {name: _part(function, part) for name, function in functions.items()}


def _gradient_equation(id, statement, latex, subjects, part, more_mutants=()):
    return Equation(
        id,
        statement,
        latex,
        _parts(subjects, part),
        LOSS_GRADIENT,
        _mutants({**GRADIENT_MUTANTS, **dict(more_mutants)}, part),
        derivative_of=dense.loss,
        part=part,
    )


LEDGER = (
    Equation(
        "E01",
        "Ŷ = U Vᵀ, ŷ_ij = Σ_s u_is v_js",
        r"\hat Y = U V^\top,\quad \hat y_{ij} = u_i \cdot v_j = \sum_s u_{is} v_{js}",
        {
            "dense.predict": Subject(lambda Y, R, U, V: dense.predict(U, V)),
            "sparse.predict_pairs": Subject(_predict_pairs, FLOATS),
        },
        spelled.prediction,
        {
            "last factor dropped": mutants.predict_last_factor_dropped,
            "absolute value": mutants.predict_absolute,
            "M2: V with j rows": mutants.predict_M2_j_rows,
            "M3: sum ends in u_ik v_jk": mutants.predict_M3_ends_in_k,
        },
    ),
    Equation(
        "E02",
        "r_ij = 1 if y_ij is observed, else 0",
        r"r_{ij} = 1 \text{ if } y_{ij} \text{ is observed, else } 0",
        {
            "dense.observed": Subject(_observed),
            "Ratings.from_dense": Subject(_observed_by_ratings, FLOATS),
        },
        spelled.observed,
        {
            "zero is missing": mutants.observed_zero_is_missing,
            "complement": mutants.observed_complement,
            "M1: R = Σ r_ij y_ij": mutants.observed_M1_sum,
        },
    ),
    Equation(
        "E03",
        "N = Σ_ij r_ij",
        r"N = \sum_{ij} r_{ij}",
        {
            "dense.count": Subject(lambda Y, R, U, V: dense.count(R)),
            "Ratings.n_ratings": Subject(lambda Y, R, U, V: Ratings.from_dense(Y, R).n_ratings, FLOATS),
        },
        spelled.number_of_ratings,
        {
            "all places": mutants.count_all_places,
            "users": mutants.count_users,
            "M1: Σ r_ij y_ij": mutants.count_M1_weighted,
        },
    ),
    Equation(
        "E04",
        "E = (1/N) Σ_{r_ij=1} (y_ij − u_i·v_j)²",
        r"E(U, V) = \frac{1}{N} \sum_{(i,j):\, r_{ij} = 1} (y_{ij} - u_i \cdot v_j)^2",
        {
            "dense.loss": Subject(dense.loss),
            "sparse.loss": Subject(_sparse_loss, FLOATS),
            "sparse.loss_and_gradients": Subject(
                lambda *problem: _on_ratings(sparse.loss_and_gradients)(*problem)[0], FLOATS
            ),
        },
        spelled.loss,
        {
            "mask dropped": mutants.loss_mask_dropped,
            "N = n m": mutants.loss_mean_over_all,
            "halved": mutants.loss_halved,
            "absolute errors": mutants.loss_absolute,
        },
    ),
    Equation(
        "E05",
        "w ← w − η ∂E/∂w",
        r"w \leftarrow w - \eta \frac{\partial E}{\partial w}",
        {
            "dense.descend_step": Subject(lambda Y, R, U, V: dense.descend_step(U, U[::-1], _eta(U))),
            "rules.plain": Subject(_plain_rule, FLOATS),
        },
        spelled.step,
        {"uphill": mutants.step_uphill, "no learning rate": mutants.step_without_rate},
    ),
    Equation(
        "E06",
        "∂ŷ_ij/∂u_lk = v_jk if l = i, else 0",
        r"\frac{\partial \hat y_{ij}}{\partial u_{lk}} = v_{jk} \text{ if } l = i, \text{ else } 0",
        {"dense.prediction_derivative": Subject(_prediction_derivative, loss=_prediction)},
        derivative_reference(_prediction),
        {
            "every row": mutants.prediction_every_row,
            "own factor": mutants.prediction_own_factor,
            "M3: k stands twice": mutants.prediction_M3_k_twice,
            "M4: case on k = i": mutants.prediction_M4_k_is_i,
        },
        derivative_of=_prediction,
    ),
    _gradient_equation(
        "E07",
        "∂E/∂u_lk = −(2/N) Σ_{r_ij=1} (y_ij − ŷ_ij) ∂ŷ_ij/∂u_lk",
        r"\frac{\partial E}{\partial u_{lk}} = -\frac{2}{N} \sum_{(i,j):\, r_{ij} = 1}"
        r" (y_{ij} - \hat y_{ij}) \frac{\partial \hat y_{ij}}{\partial u_{lk}}",
        {"dense.gradients_chain_rule": Subject(dense.gradients_chain_rule, loss=dense.loss)},
        BOTH,
    ),
    _gradient_equation(
        "E08",
        "∂E/∂u_lk = −(2/N) Σ_{j: r_lj=1} (y_lj − ŷ_lj) v_jk",
        r"\frac{\partial E}{\partial u_{lk}} = -\frac{2}{N}"
        r" \sum_{j:\, r_{lj} = 1} (y_{lj} - \hat y_{lj}) v_{jk}",
        {"dense.gradients_elementwise": Subject(dense.gradients_elementwise, loss=dense.loss)},
        U_PART,
    ),
    Equation(
        "E09",
        "u_lk ← u_lk + (2η/N) Σ_{j: r_lj=1} (y_lj − ŷ_lj) v_jk",
        r"u_{lk} \leftarrow u_{lk} + \frac{2\eta}{N} \sum_{j:\, r_{lj} = 1} (y_{lj} - \hat y_{lj}) v_{jk}",
        _parts({"dense.update": Subject(_update), "descend": Subject(_one_iteration, FLOATS)}, U_PART),
        lambda *problem: (spelled.updated_U(*problem),),
        _mutants(UPDATE_MUTANTS, U_PART),
        slack=_largest_factor,
    ),
    _gradient_equation(
        "E10",
        "∂E/∂v_jk = −(2/N) Σ_{i: r_ij=1} (y_ij − ŷ_ij) u_ik",
        r"\frac{\partial E}{\partial v_{jk}} = -\frac{2}{N}"
        r" \sum_{i:\, r_{ij} = 1} (y_{ij} - \hat y_{ij}) u_{ik}",
        {"dense.gradients_elementwise": Subject(dense.gradients_elementwise, loss=dense.loss)},
        V_PART,
    ),
    Equation(
        "E11",
        "v_jk ← v_jk + (2η/N) Σ_{i: r_ij=1} (y_ij − ŷ_ij) u_ik",
        r"v_{jk} \leftarrow v_{jk} + \frac{2\eta}{N} \sum_{i:\, r_{ij} = 1} (y_{ij} - \hat y_{ij}) u_{ik}",
        _parts({"dense.update": Subject(_update), "descend": Subject(_one_iteration, FLOATS)}, V_PART),
        lambda *problem: (spelled.updated_V(*problem),),
        _mutants(UPDATE_MUTANTS, V_PART),
        slack=_largest_factor,
    ),
    Equation(
        "E12",
        "Δ = (Y − U Vᵀ) ∘ R",
        r"\Delta = (Y - U V^\top) \circ R,\quad \Delta_{ij} = (y_{ij} - u_i \cdot v_j)\, r_{ij}",
        {
            "dense.residual": Subject(dense.residual),
            "sparse.residual": Subject(_sparse_residual, FLOATS),
        },
        spelled.residual,
        {
            "mask dropped": mutants.residual_mask_dropped,
            "sign": mutants.residual_sign,
            "NaN times 0": mutants.residual_literal_product,
            "M6: Kronecker product": mutants.residual_M6_kronecker,
            "M7: minus r_ij": mutants.residual_M7_minus_mask,
        },
    ),
    _gradient_equation(
        "E13",
        "∂E/∂U = −(2/N) Δ V",
        r"\frac{\partial E}{\partial U} = -\frac{2}{N} \Delta V",
        GRADIENT_FORMS,
        U_PART,
    ),
    _gradient_equation(
        "E14",
        "∂E/∂V = −(2/N) Δᵀ U",
        r"\frac{\partial E}{\partial V} = -\frac{2}{N} \Delta^\top U",
        GRADIENT_FORMS,
        V_PART,
    ),
    Equation(
        "E15",
        "(−(2/N) Δ V)_ik = −(2/N) Σ_{j: r_ij=1} (y_ij − u_i·v_j) v_jk, and E14 likewise",
        r"\Big(-\frac{2}{N} \Delta V\Big)_{ik} ="
        r" -\frac{2}{N} \sum_{j:\, r_{ij} = 1} (y_{ij} - u_i \cdot v_j) v_{jk} \text{, and E14 likewise}",
        GRADIENT_FORMS,
        dense.gradients_elementwise,
        {**GRADIENT_MUTANTS, "M8: sum over r_ij ≠ 1": mutants.gradients_M8_unobserved},
    ),
)
