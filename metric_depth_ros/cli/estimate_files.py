# SPDX-License-Identifier: Apache-2.0
"""The estimate of one frame as files, and what a command says of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from metric_depth_ros.types import DepthEstimate, Frame


def tell_estimate(estimate: DepthEstimate) -> None:
    """Print by what method the depth was found, and how much of it."""
    print(f'{estimate.method}: {_summary(estimate.depth)}')


def write_estimate(folder: Path, option: str, frame: Frame, estimate: DepthEstimate) -> None:
    """Write depth, cloud and picture, and print where they are.

    Raises
    ------
    InputError
        The files cannot be written; the message names the option.
    """
    import numpy as np

    from metric_depth_ros.cli.outputs import writing
    from metric_depth_ros.evaluation.result_files import MAX_MILLIMETERS, write_results

    with writing(folder, option):
        paths = write_results(folder, frame, estimate)
    cut = int(np.count_nonzero(estimate.depth * 1e3 >= MAX_MILLIMETERS + 0.5))
    if cut:
        print(
            f'{cut} pixels are farther than 65.535 m, which 16-bit millimeters cannot hold: they '
            'are 0 in depth.png; depth.npz has them.'
        )
    for path in paths.values():
        print(path)


def _summary(depth: NDArray[np.float32]) -> str:
    import numpy as np

    known = depth[np.isfinite(depth)]
    if not known.size:
        return 'no pixel has a depth'
    share = known.size / depth.size
    return f'{share:.1%} of the pixels have a depth, {known.min():.2f} to {known.max():.2f} m'
