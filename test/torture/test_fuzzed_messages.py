# SPDX-License-Identifier: Apache-2.0
"""Messages of every type, fuzzed: each is refused by name or makes outputs of the image's size."""

from types import SimpleNamespace

import numpy as np
import pytest

from metric_depth_ros.codecs.compressed_depth import decode_compressed_depth
from metric_depth_ros.errors import InputError
from metric_depth_ros.torture.fuzz.good_messages import (
    DEPTH_HEADER,
    DEPTH_PICTURES,
    good_messages,
)
from metric_depth_ros.torture.fuzz.kinds import KINDS
from metric_depth_ros.torture.fuzz.replacements import CUT, REPLACEMENTS, overwritten
from metric_depth_ros.torture.fuzz.rounds import companies
from metric_depth_ros.torture.fuzz.subject import Subject
from metric_depth_ros.torture.fuzzing import FuzzJournal, fuzz_outcome

MESSAGES = 10_000
SOME_BYTES = 2_000  # of a type whose fields are fuzzed, too
CAMERA_INFO = next(kind for kind in KINDS if kind.name == 'camera_info')

named = pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.name)


def test_every_kind_of_message_is_fuzzed():
    assert {kind.name for kind in KINDS} == set(REPLACEMENTS)
    of_fields = {kind.name for kind in KINDS if not kind.as_bytes}
    assert of_fields == set(good_messages()) - {'sensor_depth/camera_info'}


@named
def test_the_message_that_is_spoiled_is_a_good_one(kind):
    assert Subject(kind).answers(())


@named
def test_fuzzed_messages_are_refused_by_name_or_answered(kind, tmp_path):
    messages = SOME_BYTES if kind.as_bytes else MESSAGES
    outcome = fuzz_outcome(kind, messages, FuzzJournal(tmp_path / 'fuzz.json', resume=False))
    assert outcome.passed, outcome.observed


def test_both_compressions_of_the_good_depth_say_the_same():
    depths = [
        decode_compressed_depth(
            SimpleNamespace(format=f'16UC1; compressedDepth {how}', data=DEPTH_HEADER + picture)
        )
        for how, picture in DEPTH_PICTURES.items()
    ]
    np.testing.assert_array_equal(*depths)


def test_no_message_has_a_field_replaced_twice():
    drawn = [('a', 1), ('b', 2), ('a', 3), ('c', 4)]
    groups = list(companies(drawn))
    assert (('a', 1), ('c', 4)) in groups
    assert (('a', 1), ('a', 3)) not in groups
    assert len(groups) == len(set(groups))


def test_bytes_are_overwritten_and_cut_where_they_are():
    assert overwritten(b'abcdef', (('1', b'XY'), ('9', b'Z'))) == b'aXYdef'
    assert overwritten(b'abcdef', ((CUT, 2), ('4', b'Z'))) == b'ab'


def test_an_interrupted_run_goes_on_from_where_it_was(tmp_path):
    path = tmp_path / 'fuzz.json'
    lines = []
    fuzz_outcome(CAMERA_INFO, 1, FuzzJournal(path, resume=False), lines.append)
    first = FuzzJournal(path, resume=True).of(CAMERA_INFO)
    assert (first.rounds, len(lines)) == (1, 1)
    fuzz_outcome(CAMERA_INFO, first.tried, FuzzJournal(path, resume=True), lines.append)
    assert len(lines) == 1
    assert FuzzJournal(path, resume=False).of(CAMERA_INFO).tried == 0


def test_a_journal_of_another_kind_is_refused(tmp_path):
    path = tmp_path / 'fuzz.json'
    path.write_text('[1, 2]')
    with pytest.raises(InputError, match='--resume'):
        FuzzJournal(path, resume=True)
