"""Wrong versions that a person could write, and the misprints of the lecture (M1 to M8).

Each takes (Y, R, U, V) like the subject it stands in for. A proof that passes one of them has no teeth.
"""

import numpy as np

from mflib import dense
from mflib.verify.spelled import ETA


def _mean(total, R):
    return total / dense.count(R)


def _residual(Y, R, U, V):
    return dense.residual(Y, R, U, V)


def _everywhere(R):
    return np.ones_like(R)


def _filled(Y):
    """Y with a zero for every missing number, as people fill it who drop the mask."""
    return np.where(dense.observed(Y), Y, 0)


def _eta(W):
    return ETA if W.dtype == object else float(ETA)


# E01


def predict_last_factor_dropped(Y, R, U, V):
    return U[:, :-1] @ V[:, :-1].T


def predict_absolute(Y, R, U, V):
    return abs(U @ V.T)


def predict_M2_j_rows(Y, R, U, V):
    """M2: "V has j rows", j the index of one item, here the last one."""
    return U @ V[: len(V) - 1].T


def predict_M3_ends_in_k(Y, R, U, V):
    """M3: the sum ends in u_ik v_jk, k a fixed index (here the first), where it should end in s = K."""
    return U[:, :-1] @ V[:, :-1].T + np.outer(U[:, 0], V[:, 0])


# E02


def observed_zero_is_missing(Y, R, U, V):
    """The mask as Y ≠ 0: an observed zero is lost."""
    return np.where(R, Y, 0) != 0


def observed_complement(Y, R, U, V):
    return 1 - R


def observed_M1_sum(Y, R, U, V):
    """M1: R = Σ r_ij y_ij, a number where a matrix should be."""
    return np.sum(np.where(R, Y, 0))


# E03


def count_all_places(Y, R, U, V):
    return R.size


def count_users(Y, R, U, V):
    return np.sum(np.any(R == 1, axis=1))


def count_M1_weighted(Y, R, U, V):
    """M1 again: Σ r_ij y_ij is not N."""
    return np.sum(np.where(R, Y, 0))


# E04


def loss_mask_dropped(Y, R, U, V):
    return dense.loss(_filled(Y), _everywhere(R), U, V)


def loss_mean_over_all(Y, R, U, V):
    """N = n m."""
    return np.sum(_residual(Y, R, U, V) ** 2) / R.size


def loss_halved(Y, R, U, V):
    return dense.loss(Y, R, U, V) / 2


def loss_absolute(Y, R, U, V):
    return _mean(np.sum(abs(_residual(Y, R, U, V))), R)


# E05: w is U, the gradient is U with its rows in reverse


def step_uphill(Y, R, U, V):
    return U + _eta(U) * U[::-1]


def step_without_rate(Y, R, U, V):
    return U - U[::-1]


# E06: the derivatives of the prediction at the last observed place


def last_observed(R):
    """Row and column of the last observed rating."""
    i, j = np.argwhere(R == 1)[-1]
    return int(i), int(j)


def _prediction_derivative(Y, R, U, V):
    return dense.prediction_derivative(U, V, *last_observed(R))


def prediction_every_row(Y, R, U, V):
    """The case l ≠ i forgotten: v_jk in every row."""
    i, j = last_observed(R)
    return U * 0 + V[j], V * 0 + U[i]


def prediction_own_factor(Y, R, U, V):
    """The derivative of u v by u is v, not u."""
    (i, j), (d_U, d_V) = last_observed(R), _prediction_derivative(Y, R, U, V)
    d_U[i], d_V[j] = U[i], V[j]
    return d_U, d_V


def prediction_M3_k_twice(Y, R, U, V):
    """M3: with the last term u_ik v_jk the index k stands in the sum twice, and s = K not at all."""
    (i, j), (d_U, d_V) = last_observed(R), _prediction_derivative(Y, R, U, V)
    d_U[i], d_V[j] = 2 * V[j], 2 * U[i]
    return d_U, d_V


def prediction_M4_k_is_i(Y, R, U, V):
    """M4: "v_jk if k = i, 0 if k ≠ i": the case is about the row l, not about the column k."""
    (i, j), (d_U, d_V) = last_observed(R), _prediction_derivative(Y, R, U, V)
    d_U[:], d_V[:] = d_U * 0, d_V * 0
    if i < U.shape[1]:
        d_U[:, i], d_V[:, i] = V[j, i], U[i, i]
    return d_U, d_V


# Gradients: E07, E08, E10, E13, E14, E15


def gradients_mask_dropped(Y, R, U, V):
    return dense.gradients(_filled(Y), _everywhere(R), U, V)


def gradients_factor_2_missing(Y, R, U, V):
    grad_U, grad_V = dense.gradients(Y, R, U, V)
    return grad_U / 2, grad_V / 2


def gradients_sign(Y, R, U, V):
    grad_U, grad_V = dense.gradients(Y, R, U, V)
    return -grad_U, -grad_V


def gradients_V_for_U(Y, R, U, V):
    """Δ U and Δᵀ V, shapes made to fit by repeating rows."""
    D, N = _residual(Y, R, U, V), dense.count(R)
    return -2 * (D @ np.resize(U, V.shape)) / N, -2 * (D.T @ np.resize(V, U.shape)) / N


def gradients_transposed(Y, R, U, V):
    """Δᵀ where Δ should be; for a matrix that is not square the product does not even exist."""
    D, N = np.resize(_residual(Y, R, U, V).T, Y.shape), dense.count(R)
    return -2 * (D @ V) / N, -2 * (D.T @ U) / N


def gradients_mean_over_all(Y, R, U, V):
    """N = n m."""
    D = _residual(Y, R, U, V)
    return -2 * (D @ V) / R.size, -2 * (D.T @ U) / R.size


def gradients_factor_off_by_a_thousandth(Y, R, U, V):
    grad_U, grad_V = dense.gradients(Y, R, U, V)
    return 1001 * grad_U / 1000, 1001 * grad_V / 1000


def gradients_M5_user_is_item(Y, R, U, V):
    """M5: ∂E/∂u = ∂E/∂v, rows repeated or left out to make the shapes fit."""
    grad_U, grad_V = dense.gradients(Y, R, U, V)
    return np.resize(grad_V, U.shape), np.resize(grad_U, V.shape)


def gradients_M8_unobserved(Y, R, U, V):
    """M8: the sum over r_ij ≠ 1."""
    D = np.where(R == 1, 0, _filled(Y) - U @ V.T)
    return -2 * (D @ V) / dense.count(R), -2 * (D.T @ U) / dense.count(R)


# E12


def residual_mask_dropped(Y, R, U, V):
    return _filled(Y) - U @ V.T


def residual_sign(Y, R, U, V):
    return -_residual(Y, R, U, V)


def residual_literal_product(Y, R, U, V):
    """(Y − U Vᵀ) ∘ R taken literally: NaN × 0 is NaN. Missing numbers stand as NaN."""
    return (np.where(R == 1, Y, np.nan) - U @ V.T) * R


def residual_M6_kronecker(Y, R, U, V):
    """M6: ⊗ read as the Kronecker product."""
    return np.kron(_filled(Y) - U @ V.T, R)


def residual_M7_minus_mask(Y, R, U, V):
    """M7: minus r_ij where "times r_ij" is meant."""
    return _filled(Y) - U @ V.T - R


# E09, E11


def update_uphill(Y, R, U, V):
    return dense.update(Y, R, U, V, -_eta(U))


def update_factor_2_missing(Y, R, U, V):
    return dense.update(Y, R, U, V, _eta(U) / 2)


def update_one_after_the_other(Y, R, U, V):
    """The second factor updated with the first one's new value: U for E11, V for E09."""
    eta = _eta(U)
    U_first, _ = dense.update(Y, R, U, V, eta)
    _, V_first = dense.update(Y, R, U, V, eta)
    return dense.update(Y, R, U, V_first, eta)[0], dense.update(Y, R, U_first, V, eta)[1]
