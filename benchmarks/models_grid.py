"""The settings that `models` measures, by size and contender, each with the steps of its curve.

Those of the peers are what was best in trials beyond these, their defaults, and what is quicker: for each as
many as for mflib, save cmfrec on 2.5·10⁷ ratings, which takes minutes.
"""

SURPRISE_DEFAULTS = {"n_factors": 100, "lr_all": 0.005, "reg_all": 0.02}
# weighted: the penalty of an id counts once for each of its ratings, but that of its bias does not
CMFREC = {"scale_lam": True, "scale_bias_const": True}
# planted ratings have no biases: nobody is made to learn some
CMFREC_PLAIN = {"scale_lam": True, "user_bias": False, "item_bias": False}
ALS = [1, 2, 3, 5, 7, 10, 15, 20]
LIBMF = [2, 3, 4, 5, 6, 7, 8, 10, 12, 15]
LIBMF_PLANTED = [3, 5, 7, 10, 12, 15, 20, 25, 30]
CONJUGATE = [2, 5, 10, 15, 20, 30, 40, 60]
ALTERNATING = [1, 2, 3, 4, 6, 8, 12]
ROUNDS = [3, 4, 5, 6, 7, 8]

GRIDS = {
    "ml-latest-small": {
        "mflib": [
            {"steps": CONJUGATE, "rule": "conjugate", "n_factors": 50},
            {"steps": ALTERNATING, "n_factors": 20},
            {"steps": ALTERNATING, "n_factors": 50},
            {"steps": ALTERNATING, "n_factors": 150},
            {"steps": ALTERNATING, "n_factors": 100, "reg": 0.1, "reg_weighting": "count"},
        ],
        "Surprise SVD": [
            {"steps": [5, 10, 15, 20, 30], **SURPRISE_DEFAULTS},
            {"steps": [10, 15, 20, 30], "n_factors": 50, "lr_all": 0.01, "reg_all": 0.05},
            {"steps": [10, 20, 30, 40], "n_factors": 100, "lr_all": 0.02, "reg_all": 0.1},
            {"steps": [10, 20, 40, 80], "n_factors": 100, "lr_all": 0.01, "reg_all": 0.1},
            {"steps": [10, 20, 40, 80], "n_factors": 200, "lr_all": 0.01, "reg_all": 0.1},
        ],
        "cmfrec": [
            {"steps": ALS, "k": 50, "lambda_": 0.1, "scale_lam": True},
            {"steps": ALS, "k": 50, "lambda_": 0.13, **CMFREC},
            {"steps": ALS, "k": 100, "lambda_": 0.13, **CMFREC},
            {"steps": ALS, "k": 100, "lambda_": 0.13, **CMFREC, "finalize_chol": False},
            {"steps": ALS, "k": 150, "lambda_": 0.13, **CMFREC},
        ],
        "LIBMF": [
            {"steps": LIBMF, "k": 100, "l2": 0.05, "r": 0.1},
            {"steps": LIBMF, "k": 100, "l2": 0.03, "r": 0.1},
            {"steps": LIBMF, "k": 100, "l2": 0.05, "r": 0.05},
            {"steps": LIBMF, "k": 150, "l2": 0.05, "r": 0.1},
            {"steps": LIBMF, "k": 100, "l2": 0.1, "r": 0.1, "centred": False},
        ],
        "Surprise SVD++": [{"steps": [20], "n_factors": 20, "lr_all": 0.007, "reg_all": 0.02}],
    },
    # planted of rank 16, of which the mean is one
    "1e6": {
        "mflib": [
            {"steps": CONJUGATE, "rule": "conjugate", "n_factors": 15, "reg": 0.2, "biases": False},
            {"steps": ALTERNATING, "n_factors": 15, "reg": 0.2, "biases": False},
            {"steps": ALTERNATING, "n_factors": 16, "reg": 0.2, "biases": False},
        ],
        "Surprise SVD": [
            {"steps": [10, 20, 30, 40], "n_factors": 15, "lr_all": 0.01, "reg_all": 0.05},
            {"steps": [10, 20, 30, 40], "n_factors": 15, "lr_all": 0.02, "reg_all": 0.05},
            {"steps": [10, 20, 30, 40], "n_factors": 16, "lr_all": 0.02, "reg_all": 0.05},
        ],
        "cmfrec": [
            {"steps": ALS, "k": 15, "lambda_": 0.01, **CMFREC_PLAIN},
            {"steps": ALS, "k": 15, "lambda_": 0.02, **CMFREC_PLAIN},
            {"steps": ALS, "k": 15, "lambda_": 0.01, **CMFREC_PLAIN, "use_cg": False},
        ],
        "LIBMF": [
            {"steps": LIBMF_PLANTED, "k": 15, "l2": 0.01, "r": 0.1},
            {"steps": LIBMF_PLANTED, "k": 15, "l2": 0.005, "r": 0.1},
            {"steps": LIBMF_PLANTED, "k": 16, "l2": 0.01, "r": 0.1},
        ],
    },
    "2.5e7": {
        "mflib": [
            {"steps": CONJUGATE[1:6], "rule": "conjugate", "n_factors": 15, "reg": 0.2, "biases": False},
            {"steps": ROUNDS, "n_factors": 15, "reg": 0.2, "biases": False},
            {"steps": ROUNDS, "n_factors": 16, "reg": 0.2, "biases": False},
        ],
        "cmfrec": [
            {"steps": [2, 4, 8], "k": 15, "lambda_": 0.01, **CMFREC_PLAIN},
        ],
        "LIBMF": [
            {"steps": LIBMF_PLANTED, "k": 15, "l2": 0.01, "r": 0.1, "own_rmse": True},
            {"steps": LIBMF_PLANTED, "k": 15, "l2": 0.005, "r": 0.1, "own_rmse": True},
            {"steps": LIBMF_PLANTED, "k": 16, "l2": 0.01, "r": 0.1, "own_rmse": True},
        ],
    },
}
# SVD++ takes minutes
FOLDS_OF = {"Surprise SVD++": 1}
