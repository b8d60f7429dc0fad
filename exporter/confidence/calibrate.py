"""Temperature scaling: a network's confidence made to mean what it says.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

__all__ = ["COLDEST", "HOTTEST", "calibrated", "class_logits", "fit_temperature"]

COLDEST: Final = 0.05
HOTTEST: Final = 20.0
"""Temperatures outside are never fitted."""


def class_logits(raw: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logits with a column a class, in the dtype they came in.

    Args:
        raw: what the layer ``logits`` says, ``(n, classes)``, or ``(n, 1)`` for two classes.

    Returns:
        ``(n, classes)``; one logit ``z`` becomes ``[0, z]``, whose softmax is what the sigmoid said.
    """
    return np.concatenate([np.zeros_like(raw), raw], axis=1) if raw.shape[1] == 1 else raw


def fit_temperature(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> float:
    """The temperature at which the labels are likeliest.

    The negative log-likelihood alone has no minimum where every row is right (the colder, the better) or every row
    wrong (the hotter, the better). So half the square of the temperature's logarithm is added to the sum over the
    rows: a prior that keeps a handful of rows near 1 and that a hundred rows outweigh.

    Args:
        logits: of rows that the network has not learned from, a column a class, ``(n, classes)``.
        labels: class indices ``(n,)``.

    Returns:
        A temperature between COLDEST and HOTTEST; 1 where there are no rows.
    """
    if not len(labels):
        return 1.0
    margins = _in_double(logits)
    truths = margins[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        heat = np.exp(log_temperature)
        likelihoods = truths / heat - logsumexp(margins / heat, axis=1)
        return float(log_temperature**2 / 2 - likelihoods.sum())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))


def calibrated(logits: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.float32]:
    """Softmax of the logits at a temperature.

    Args:
        logits: a column a class, ``(n, classes)``.
        temperature: what they are divided by; above 0.

    Returns:
        Probabilities, ``float32 (n, classes)``; rows sum to 1.
    """
    likelihoods = np.exp(_in_double(logits) / temperature)
    return np.asarray(likelihoods / likelihoods.sum(axis=1, keepdims=True), np.float32)


def _in_double(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Each row's logits below its largest, so that no exponential overflows."""
    double = logits.astype(np.float64)
    double -= double.max(axis=1, keepdims=True)
    return double
