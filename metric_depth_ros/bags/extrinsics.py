# SPDX-License-Identifier: Apache-2.0
"""Static transforms of a bag. Imports the sibling `reader`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.layout import TF_STATIC_TOPIC
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.geometry.rigid import transform_from_quaternion


def read_static_transforms(bag: Path) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return every transform of the bag's /tf_static.

    Parameters
    ----------
    bag
        Bag folder or file.

    Returns
    -------
    dict[tuple[str, str], NDArray[np.float64]]
        (4, 4) by (parent frame, child frame); p_parent = T p_child. The last one wins where a
        pair was published several times.

    Raises
    ------
    InputError
        The bag cannot be read, or has no /tf_static.
    """
    transforms = {}
    with BagReader(bag) as reader:
        for _, message in reader.messages([TF_STATIC_TOPIC]):
            for stamped in message.transforms:
                move, turn = stamped.transform.translation, stamped.transform.rotation
                key = (stamped.header.frame_id.lstrip('/'), stamped.child_frame_id.lstrip('/'))
                transforms[key] = transform_from_quaternion(
                    (move.x, move.y, move.z),
                    (turn.x, turn.y, turn.z, turn.w),
                )
    return transforms
