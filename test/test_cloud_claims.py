# SPDX-License-Identifier: Apache-2.0
"""Clouds whose header claims more than the file has are refused before they are read."""

import struct

import numpy as np
import pytest

from metric_depth_ros.cloud_claims import check_cloud_claims
from metric_depth_ros.errors import InputError

MANY = 100_000_000
XYZ = 'property float x\nproperty float y\nproperty float z\n'
POINTS = np.arange(600, dtype='<f4').reshape(200, 3)
ROWS = POINTS.tobytes()
TEXT = '\n'.join(' '.join(f'{v:.1f}' for v in point) for point in POINTS).encode() + b'\n'


def ply(elements, form='binary_little_endian', body=ROWS):
    return f'ply\nformat {form} 1.0\n{elements}end_header\n'.encode() + body


def pcd(sizes='WIDTH 200\nHEIGHT 1\nPOINTS 200\n', form='binary', body=ROWS):
    fields = 'VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n'
    return f'# .PCD v0.7\n{fields}{sizes}DATA {form}\n'.encode() + body


def literal_lzf(data):
    parts = [data[at : at + 32] for at in range(0, len(data), 32)]
    packed = b''.join(bytes([len(part) - 1]) + part for part in parts)
    return struct.pack('<II', len(packed), len(data)) + packed


COLUMNS = np.ascontiguousarray(POINTS.T).tobytes()
WHOLE = {
    'binary.ply': ply(f'comment by hand\nelement vertex 200\n{XYZ}'),
    'text.ply': ply(f'element vertex 200\n{XYZ}', 'ascii', TEXT),
    'windows.ply': ply(f'element vertex 200\n{XYZ}', 'ascii', TEXT).replace(b'\n', b'\r\n'),
    'big.ply': ply(
        f'element vertex 200\n{XYZ}', 'binary_big_endian', POINTS.astype('>f4').tobytes()
    ),
    'mesh.ply': ply(
        f'obj_info scan 1\nelement vertex 200\n{XYZ}element face 0\n'
        'property list uchar int vertex_indices\n'
    ),
    'empty_remark.ply': ply(f'comment\ncomment x\nelement vertex 200\n{XYZ}'),
    'binary.pcd': pcd(),
    'text.pcd': pcd(form='ascii', body=TEXT),
    'packed.pcd': pcd(form='binary_compressed', body=literal_lzf(COLUMNS)),
    'no_width.pcd': pcd('POINTS 200\n'),
}
VERTICES = f'element vertex {MANY}\n{XYZ}'
HIDDEN = {
    'plain.ply': ply(VERTICES),
    'blank_first.ply': ply(f'element foo 0\n element vertex {MANY}\n{XYZ}'),
    'two_lines.ply': ply(f'element foo 0\nelement\nvertex\t{MANY}\n{XYZ}'),
    'after_a_remark.ply': ply(f'comment\nend_header\n{VERTICES}'),
    'after_nul.ply': ply(f'element foo 0\nproperty float x\0element\0vertex\0{MANY}\n{XYZ}'),
    'named_property.ply': ply(f'element vertex 0\nproperty float x element\nproperty {MANY}\n'),
    'far_behind.ply': ply('element foo 0\n' + f'comment {"x" * 900}\n' * 80 + VERTICES),
    'without_properties.ply': ply(f'element foo {10**17}\nelement vertex 200\n{XYZ}'),
    'digits.ply': ply(f'element vertex {"9" * 5000}\n{XYZ}'),
    'headless.ply': ply(XYZ),
    'plain.pcd': pcd(f'POINTS {MANY}\n'),
    'blank_first.pcd': pcd(f'POINTS 200\n POINTS {MANY}\n'),
    'longer_word.pcd': pcd(f'POINTS 200\nPOINTSX {MANY}\n'),
    'width_and_height.pcd': pcd(f'POINTS 200\nWIDTH {MANY}\nHEIGHT 1\n'),
    'behind_a_remark.pcd': pcd(f'POINTS 200\n#{"x" * 1022}POINTS {MANY}\n'),
    'far_behind.pcd': pcd('POINTS 200\n' + f'#{"x" * 900}\n' * 80 + f'POINTS {MANY}\n'),
    'negative.pcd': pcd('POINTS -5\n'),
    'digits.pcd': pcd(f'POINTS {"9" * 5000}\n'),
    'packed.pcd': pcd(f'POINTS {MANY}\n', 'binary_compressed', literal_lzf(COLUMNS)),
    'unpacked_to_less.pcd': pcd(form='binary_compressed', body=literal_lzf(COLUMNS[:-4])),
    'unpacked_to_much.pcd': pcd(
        form='binary_compressed', body=struct.pack('<II', 12, 2**31) + bytes(12)
    ),
    'unsized.pcd': pcd().replace(b'COUNT 1 1 1', b'COUNT 1 0 0'),
}


@pytest.mark.parametrize('name', WHOLE)
def test_a_whole_cloud_is_let_through_and_open3d_reads_it(name, tmp_path):
    open3d = pytest.importorskip('open3d', exc_type=ImportError)
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    check_cloud_claims(path)
    read = np.asarray(open3d.io.read_point_cloud(str(path)).points)
    np.testing.assert_array_equal(read, POINTS)


@pytest.mark.parametrize('name', HIDDEN)
def test_a_claim_is_found_wherever_open3d_would_find_it(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(HIDDEN[name])
    with pytest.raises(InputError, match=name) as refusal:
        check_cloud_claims(path)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize('name', WHOLE)
def test_a_cloud_that_was_cut_short_is_refused(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(WHOLE[name][:-200])
    with pytest.raises(InputError, match='cut short'):
        check_cloud_claims(path)


@pytest.mark.parametrize('name', ['empty.ply', 'empty.pcd'])
def test_an_empty_file_is_no_cloud(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b'')
    with pytest.raises(InputError, match='cannot be read as a cloud'):
        check_cloud_claims(path)
