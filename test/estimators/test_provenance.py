# SPDX-License-Identifier: Apache-2.0
import hashlib
from pathlib import Path

import pytest
from tiny_checkpoints import write_checkpoint

from metric_depth_ros.estimators.learned import loading
from metric_depth_ros.estimators.learned.shipped import manifest
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.provenance import Provenance, noted_provenance
from metric_depth_ros.estimators.registry import create_estimator


def test_weights_are_told_by_their_content_and_the_device_by_its_kind(tmp_path: Path) -> None:
    path = write_checkpoint('student_pointmap', tmp_path)
    options = EstimatorOptions(device='cpu', weights=str(path))
    with noted_provenance() as noted:
        create_estimator('composed:student_pointmap', options)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert noted == Provenance({'student_pointmap': digest}, {'cpu'})


def test_shipped_weights_are_told_by_those_of_the_manifest() -> None:
    with noted_provenance() as noted:
        loading.read_weights('compact_student', EstimatorOptions())
    assert noted.weights == {'compact_student': manifest()['compact_student']['sha256']}


def test_an_estimator_without_a_network_has_no_weights() -> None:
    with noted_provenance() as noted:
        create_estimator('nearest')
    assert noted == Provenance()


@pytest.mark.parametrize('beside', [b'', b'weights'])
def test_an_exported_network_is_told_by_all_its_files(
    tmp_path: Path, monkeypatch, beside: bytes
) -> None:
    exported = tmp_path / 'teacher.onnx'
    exported.write_bytes(b'a network')
    if beside:
        (tmp_path / 'teacher.onnx.data').write_bytes(beside)
    monkeypatch.setattr(loading, 'open_exported', lambda *given: None)
    monkeypatch.setattr(loading, 'with_preset', lambda *given: None)
    with noted_provenance() as noted:
        loading.load_network('teacher', EstimatorOptions(weights=str(exported), backend='onnx'))
    digests = [hashlib.sha256(part).hexdigest() for part in (b'a network', beside) if part]
    assert noted.weights == {'teacher': '+'.join(digests)}
