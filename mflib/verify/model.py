"""The model's equations in the ledger: penalty (E16, E17), biases (E18), and J along a line (E19)."""

from mflib import dense
from mflib.verify import model_mutants as mutants
from mflib.verify import spelled_model as spelled
from mflib.verify.equation import Equation
from mflib.verify.model_problems import (
    biased,
    gradients,
    largest_factor,
    lines,
    on_matrix,
    on_ratings,
    one_value,
    predict_all,
    squared_factors,
    values,
)
from mflib.verify.provers import FLOATS, Subject, derivative_reference

VALUE = one_value(on_matrix)  # one object, so that its answers are computed once

MODEL = (
    Equation(
        "E16",
        "J = E + (λ/N) (Σ_i a_i ‖u_i‖² + Σ_j b_j ‖v_j‖²), a = b = 1 or the numbers of ratings",
        r"J = E + \frac{\lambda}{N} \Big(\sum_i a_i \|u_i\|^2 + \sum_j b_j \|v_j\|^2\Big),\quad"
        r" a_i = b_j = 1 \text{ or the numbers of ratings}",
        {
            "Objective.of_dense": Subject(values(on_matrix)),
            "Objective.of_ratings": Subject(values(on_ratings), FLOATS),
        },
        spelled.values,
        {
            "penalty left out": values(mutants.no_penalty),
            "λ/2": values(mutants.penalty_halved),
            "λ not divided by N": values(mutants.penalty_not_divided),
            "λ/N²": values(mutants.penalty_divided_twice),
            "a for b": values(mutants.weights_swapped),
            "counts ignored": values(mutants.weights_ignored),
            "users alone": values(mutants.users_alone_penalized),
            "penalty 0.1 % too large": values(mutants.penalty_off_by_a_thousandth),
        },
    ),
    Equation(
        "E17",
        "∂J/∂u_ik = ∂E/∂u_ik + (2λ/N) a_i u_ik, and ∂J/∂v_jk likewise",
        r"\frac{\partial J}{\partial u_{ik}} = \frac{\partial E}{\partial u_{ik}}"
        r" + \frac{2\lambda}{N} a_i u_{ik} \text{, and } \frac{\partial J}{\partial v_{jk}} \text{ likewise}",
        {
            "Objective.of_dense": Subject(gradients(on_matrix), loss=VALUE),
            "Objective.of_ratings": Subject(gradients(on_ratings), FLOATS, one_value(on_ratings)),
        },
        derivative_reference(VALUE),
        {
            "penalty left out": gradients(mutants.no_penalty),
            "factor 2 missing": gradients(mutants.penalty_halved),
            "sign": gradients(mutants.penalty_rewarded),
            "a for b": gradients(mutants.weights_swapped),
            "penalty 0.1 % too large": gradients(mutants.penalty_off_by_a_thousandth),
        },
        derivative_of=VALUE,
        slack=largest_factor,
    ),
    Equation(
        "E18",
        "(u_i, b_i, 1) · (v_j, 1, c_j) + μ = μ + b_i + c_j + u_i·v_j; the ones are held and not penalized",
        r"\mu + (u_i, b_i, 1) \cdot (v_j, 1, c_j) = \mu + b_i + c_j + u_i \cdot v_j"
        r" \text{; the ones are held and not penalized}",
        {
            "Objective.of_dense": Subject(biased(on_matrix, dense.predict)),
            "Objective.of_ratings": Subject(biased(on_ratings, predict_all), FLOATS),
        },
        spelled.biased,
        {
            "ones penalized": biased(mutants.held_penalized, dense.predict),
            "ones trained": biased(mutants.held_trained, dense.predict),
            "ones like all others": biased(mutants.held_like_all_others, dense.predict),
            "columns swapped": biased(on_matrix, dense.predict, mutants.columns_swapped),
            "mean not subtracted": mutants.mean_forgotten,
            "penalty 0.1 % too large": biased(mutants.penalty_off_by_a_thousandth, dense.predict),
        },
        slack=largest_factor,
    ),
    Equation(
        "E19",
        "E(U + tP, V + tQ) = (1/N) Σ_{r_ij=1} (Δ_ij − at − bt²)², a = u_i·q_j + p_i·v_j, b = p_i·q_j; so J",
        r"E(U + tP, V + tQ) = \frac{1}{N} \sum_{(i,j):\, r_{ij} = 1}"
        r" (\Delta_{ij} - (u_i \cdot q_j + p_i \cdot v_j)\, t - p_i \cdot q_j\, t^2)^2"
        r" \text{, and } J \text{ likewise}",
        {
            "Objective.of_dense": Subject(lines(on_matrix)),
            "Objective.of_ratings": Subject(lines(on_ratings), FLOATS),
        },
        spelled.lines,
        {
            "c₁ halved": mutants.line_slope_halved,
            "c₃ halved": mutants.line_cube_halved,
            "Σ a² without −2 Σ d b": mutants.line_without_db,
            "b = 0": mutants.line_straight,
            "−t": mutants.line_downhill,
            "c₂ 0.1 % too large": mutants.line_off_by_a_thousandth,
            "penalty left out": lines(mutants.no_penalty),
            "penalty's slope halved": mutants.line_penalty_slope_halved,
            "λ not divided by N": lines(mutants.penalty_not_divided),
            "a for b": lines(mutants.weights_swapped),
            "ones move": mutants.line_moves_held_columns,
            "ones penalized": mutants.line_held_penalized,
        },
        slack=squared_factors,
    ),
)
