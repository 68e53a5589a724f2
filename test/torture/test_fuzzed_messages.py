# SPDX-License-Identifier: Apache-2.0
"""Messages of every type, fuzzed: each is refused by name or makes depth of the image's size."""

import pytest

from metric_depth_ros.torture.fuzz import MUTATIONS, fuzz
from metric_depth_ros.torture.fuzzing import KINDS

EXAMPLES = 10_000


def test_every_kind_of_message_is_fuzzed():
    assert tuple(MUTATIONS) == KINDS


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('kind', KINDS)
def test_fuzzed_messages_are_refused_by_name_or_answered(kind):
    assert fuzz(kind, EXAMPLES) > 0
