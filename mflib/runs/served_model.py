"""What MLflow executes to load a model of mflib: the code of an MLflow model, which so needs no pickle.

MLflow copies this file into each model, so it leans on `Factorization.load` and `predict` alone.
"""

import warnings

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ServedModel(PythonModel):
    """Predicts the rating of each row of a frame with the columns `user` and `item`."""

    def load_context(self, context):
        """Load the file of `Factorization.save`."""
        from mflib import Factorization

        self.model = Factorization.load(context.artifacts["factorization"])

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        """A frame with `rating`, and `known`: false where the user or the item has no training rating.

        Such a rating is the best mean that is known, as of `predict(…, unknown="mean")`.
        """
        users, items = model_input["user"], model_input["item"]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "[0-9]+ of [0-9]+ pairs are of a user", UserWarning)
            rating = self.model.predict(users, items, unknown="mean")
        known = self.model.covers(users, items)
        return pd.DataFrame({"rating": rating.astype("float64"), "known": known})


set_model(ServedModel())
