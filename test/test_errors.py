# SPDX-License-Identifier: Apache-2.0
"""The exception for bad input."""

import pickle

from metric_depth_ros.errors import InputError


def test_fault_and_sentence_survive_a_process_boundary():
    again = pickle.loads(pickle.dumps(InputError('camera_file', 'K is missing.')))
    assert type(again) is InputError
    assert (again.fault, str(again)) == ('camera_file', 'K is missing.')
