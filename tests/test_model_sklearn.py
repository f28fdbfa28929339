"""Factorization keeps the conventions of scikit-learn, as scikit-learn's own checks see them.

What they feed to `fit` is a matrix X of samples and features, which no ratings are. So those that look at
parameters run as they are, and those that fit run on `OnMatrix`, for which every entry of X is a rating.
These do not apply:

* of sparse, object, complex, one-dimensional, empty or NaN X, of data frames, feature names, n_features_in_,
  sample weights and y: there is no X and no y. What bad ratings meet is tested with `Ratings`.
* of classifiers, regressors, transformers, clusterers and outlier detectors: it is none of them.
* check_methods_subset_invariance, check_methods_sample_order_invariance: rows of X are users, whom the model
  knows by their place. That a pair is predicted alike alone and among others is tested in test_model.
* check_estimators_pickle: nothing is pickled here, test_model_file tests `save` and `load`.
"""

import inspect

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from mflib import Factorization, Ratings

SETTINGS = {"n_factors": 2, "iterations": 3}
OF_PARAMETERS = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)
OF_FIT = (
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_estimators_unfitted",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_non_transformer_estimators_n_iter",
    "check_readonly_memmap_input",
)


class OnMatrix(Factorization):
    """Every entry of X is the rating that a sample gives a feature; predicted is that of the first one."""

    def fit(self, X, y=None):
        X = np.asarray(X, dtype=np.float64)
        return super().fit(Ratings.from_dense(X, np.ones(X.shape)))

    def predict(self, X):
        return super().predict(range(len(X)), 0, unknown="mean")


@pytest.mark.parametrize("name", OF_PARAMETERS)
def test_check_of_parameters(name):
    getattr(estimator_checks, name)("Factorization", Factorization())


@pytest.mark.parametrize("name", OF_FIT)
@pytest.mark.filterwarnings("ignore:.*pairs are of a user:UserWarning")
def test_check_of_fit(name):
    getattr(estimator_checks, name)("OnMatrix", OnMatrix(**SETTINGS))


class Eager(Factorization):
    """Learns something before it is fitted."""

    def __init__(self, n_factors=2):
        super().__init__(n_factors)
        self.extra_ = 1


class Setting(OnMatrix):
    """Sets a parameter when it is fitted."""

    def fit(self, X, y=None):
        self.reg = 0.5
        return super().fit(X)


class Shifting(OnMatrix):
    """Changes itself when it predicts."""

    def predict(self, X):
        self.mean_ += 1
        return super().predict(X)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("check_no_attributes_set_in_init", Eager()),
        ("check_estimators_overwrite_params", Setting(**SETTINGS)),
        ("check_dict_unchanged", Shifting(**SETTINGS)),
    ],
)
def test_the_checks_see_what_is_wrong(name, wrong):
    with pytest.raises(AssertionError):
        getattr(estimator_checks, name)("wrong", wrong)


def test_a_clone_has_the_parameters_and_nothing_learned():
    model = Factorization(**SETTINGS, reg=0.3).fit(Ratings.from_arrays([0], [0], [1.0], shape=(1, 1)))
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(twin)
    check_is_fitted(model)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.predict(0, 0),
        lambda model: model.coverage(0, 0),
        lambda model: model.recommend(0),
        lambda model: model.similar_items(0),
        lambda model: model.save("nowhere"),
    ],
)
def test_before_fit_there_is_nothing_to_use(call):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        call(Factorization())


def test_an_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match="Invalid parameter 'rank'"):
        Factorization().set_params(rank=3)
    assert [*inspect.signature(Factorization.fit).parameters] == ["self", "ratings", "validation"]
