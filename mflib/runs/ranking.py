"""By which number runs are ranked, and in which direction."""

import re
from collections.abc import Iterable

_KEY_METRICS = ("rmse.validation", "loss")
_LOWER = frozenset({"loss", "rmse", "mae", "mse", "error", "seconds"})


def key_metric(names: Iterable[str]) -> str | None:
    """The metric by which one looks at a run first.

    Parameters
    ----------
    names : iterable of str
        The metrics of the run, in the order of their interest.

    Returns
    -------
    str or None
        `rmse.validation` where it is there, else `loss`, else the first; None of none.

    Examples
    --------
    >>> key_metric(["claims", "loss"]), key_metric(["claims", "coverage"]), key_metric([])
    ('loss', 'claims', None)
    """
    names = list(names)
    return next((name for name in (*_KEY_METRICS, *names) if name in names), None)


def lower_is_better(metric: str) -> bool:
    """Whether less is better: where loss, rmse, mae, mse, error or seconds is one of the words of the name.

    Parameters
    ----------
    metric : str
        Words are parted by `.`, `_` or `-`.

    Examples
    --------
    >>> lower_is_better("momentum.loss"), lower_is_better("rmse.validation"), lower_is_better("coverage")
    (True, True, False)
    """
    return not _LOWER.isdisjoint(re.split(r"[._\-]", metric))
