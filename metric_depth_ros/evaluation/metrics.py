# SPDX-License-Identifier: Apache-2.0
"""Metric-depth errors of one image, and how images are put together. NumPy only.

Every figure of this module follows from a few sums over pixels (`ErrorSums`), so that the mean
over images (`Aggregation.PER_IMAGE`) and the mean over all pixels of all images
(`Aggregation.POOLED`) come from the same numbers and no image has to be kept.

Predictions are compared as they are: no scale, shift or median alignment. A prediction that is
missing (NaN), infinite or not positive at a pixel with ground truth is a *failure*: it counts
as `FAILED_DEPTH_M`, is no inlier of any delta, and is never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.floating]

FAILED_DEPTH_M = 1e-3  # what a failed pixel counts as; also the floor of every prediction
DELTA_RATIO = 1.25

METRIC_NAMES = (
    'abs_rel',
    'mae_m',
    'rmse_m',
    'delta1',
    'delta2',
    'delta3',
    'log10',
    'rmse_log',
    'sq_rel',
    'silog',
)


class Aggregation(Enum):
    """How the images of a set become one figure; published numbers differ by it.

    POOLED: one mean over the pixels of all images. PER_IMAGE: mean over images of each image's
    figure. PER_SAMPLE: mean over samples of the mean over each sample's images, where a sample is
    what the set calls one (the cameras of one instant).
    """

    POOLED = 'pooled'
    PER_IMAGE = 'per_image'
    PER_SAMPLE = 'per_sample'


@dataclass(frozen=True)
class ErrorSums:
    """Sums over valid pixels from which all figures follow; they add up over images.

    Parameters
    ----------
    pixels
        Number of pixels with ground truth.
    failures
        How many of them have no usable prediction.
    """

    pixels: int = 0
    failures: int = 0
    relative: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    squared_relative: float = 0.0
    log: float = 0.0
    log_absolute: float = 0.0
    log_squared: float = 0.0
    inliers1: int = 0
    inliers2: int = 0
    inliers3: int = 0

    def __add__(self, other: ErrorSums) -> ErrorSums:
        """Return the sums over the pixels of both."""
        return ErrorSums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def metrics(self) -> dict[str, float]:
        """Return the figures named in `METRIC_NAMES`; NaN each where there is no pixel.

        Returns
        -------
        dict
            ``abs_rel`` mean |p - d| / d; ``mae_m``, ``rmse_m`` meters; ``delta1..3`` share
            with max(p/d, d/p) < 1.25^i, strictly; ``log10`` mean |log10 p - log10 d|;
            ``rmse_log`` (natural); ``sq_rel`` mean (p - d)^2 / d, meters; ``silog``
            sqrt(mean g^2 - mean(g)^2 / 2) with g = ln p - ln d.
        """
        n = self.pixels
        if n == 0:
            return dict.fromkeys(METRIC_NAMES, float('nan'))
        mean_log = self.log / n
        mean_log_squared = self.log_squared / n
        return {
            'abs_rel': self.relative / n,
            'mae_m': self.absolute / n,
            'rmse_m': float(np.sqrt(self.squared / n)),
            'delta1': self.inliers1 / n,
            'delta2': self.inliers2 / n,
            'delta3': self.inliers3 / n,
            'log10': self.log_absolute / n / float(np.log(10.0)),
            'rmse_log': float(np.sqrt(mean_log_squared)),
            'sq_rel': self.squared_relative / n,
            'silog': float(np.sqrt(max(mean_log_squared - 0.5 * mean_log**2, 0.0))),
        }


def error_sums(
    prediction: FloatMap, ground_truth: FloatMap, mask: NDArray[np.bool_] | None = None
) -> ErrorSums:
    """Compare a prediction with ground truth, pixel by pixel.

    Parameters
    ----------
    prediction
        Meters along the optical axis, any shape; failures as in the module docstring.
    ground_truth
        Meters, same shape; a pixel counts where it is finite and positive.
    mask
        Further restriction, same shape.

    Raises
    ------
    ValueError
        Arrays of different shapes.
    """
    if prediction.shape != ground_truth.shape:
        raise ValueError(
            f'prediction is {prediction.shape} but ground truth is {ground_truth.shape}: resize '
            'the prediction to the ground truth first'
        )
    with np.errstate(invalid='ignore'):
        valid = np.isfinite(ground_truth) & (ground_truth > 0.0)
    if mask is not None:
        valid &= mask
    dtype = np.result_type(prediction, ground_truth, np.float32)
    d = ground_truth[valid].astype(dtype, copy=False)
    p = prediction[valid].astype(dtype, copy=False)
    with np.errstate(invalid='ignore'):
        failed = ~(np.isfinite(p) & (p > 0.0))
    p = np.maximum(np.where(failed, dtype.type(FAILED_DEPTH_M), p), FAILED_DEPTH_M)
    # The ratio stays in the precision of the data: at exactly 1.25 a pixel is no inlier.
    with np.errstate(over='ignore'):  # of float32; an infinite ratio is no inlier either
        ratio = np.maximum(p / d, d / p)
    ratio[failed] = np.inf
    d64, p64 = d.astype(np.float64), p.astype(np.float64)
    difference = np.abs(p64 - d64)
    log_ratio = np.log(p64 / d64)
    return ErrorSums(
        pixels=int(valid.sum()),
        failures=int(failed.sum()),
        relative=float((difference / d64).sum()),
        absolute=float(difference.sum()),
        squared=float((difference**2).sum()),
        squared_relative=float((difference**2 / d64).sum()),
        log=float(log_ratio.sum()),
        log_absolute=float(np.abs(log_ratio).sum()),
        log_squared=float((log_ratio**2).sum()),
        inliers1=int((ratio < DELTA_RATIO).sum()),
        inliers2=int((ratio < DELTA_RATIO**2).sum()),
        inliers3=int((ratio < DELTA_RATIO**3).sum()),
    )


def depth_metrics(prediction: FloatMap, ground_truth: FloatMap) -> dict[str, float]:
    """Return the figures of one image, named in `METRIC_NAMES`; see `ErrorSums.metrics`.

    Parameters
    ----------
    prediction
        (H, W) meters; NaN, Inf and values <= 0 are failures and count as such.
    ground_truth
        (H, W) meters; NaN where it is unknown.
    """
    return error_sums(prediction, ground_truth).metrics()


def aggregate(
    sums: Sequence[ErrorSums], aggregation: Aggregation, samples: Sequence[object] | None = None
) -> dict[str, float]:
    """Put images together.

    Parameters
    ----------
    sums
        One entry an image. Images without a valid pixel carry no figure and are skipped.
    aggregation
        How; it has no default because published figures differ by it.
    samples
        For `Aggregation.PER_SAMPLE`: which sample each image belongs to.
    """
    if aggregation is Aggregation.POOLED:
        return sum(sums, ErrorSums()).metrics()
    if aggregation is Aggregation.PER_IMAGE:
        return aggregate_per_image([s.metrics() for s in sums])
    if samples is None or len(samples) != len(sums):
        raise ValueError('per_sample aggregation needs to know the sample of every image')
    return aggregate_per_sample([s.metrics() for s in sums], samples)


def aggregate_per_sample(
    images: Iterable[Mapping[str, float]], samples: Iterable[object]
) -> dict[str, float]:
    """Return the mean over samples of the mean over each one's images; NaN as for images."""
    by_sample: dict[object, list[Mapping[str, float]]] = {}
    for sample, image in zip(samples, images, strict=True):
        by_sample.setdefault(sample, []).append(image)
    return aggregate_per_image([aggregate_per_image(group) for group in by_sample.values()])


def aggregate_per_image(images: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over images of each figure.

    NaN stands for an image without a pixel to score; it is skipped. A figure that no image has is
    NaN.
    """
    columns: dict[str, list[float]] = {}
    for image in images:
        for name, value in image.items():
            columns.setdefault(name, []).append(value)
    if not columns:
        return dict.fromkeys(METRIC_NAMES, float('nan'))
    means = {}
    for name, values in columns.items():
        known = np.array(values)[~np.isnan(values)]
        means[name] = float(known.mean()) if known.size else float('nan')
    return means
