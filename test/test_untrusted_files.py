# SPDX-License-Identifier: Apache-2.0
"""Small files with large claims are refused before memory is taken for what they claim."""

import io
import os
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib

import cv2
import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.framesets.loose_files import read_camera
from metric_depth_ros.framesets.stored_arrays import (
    load_array,
    load_arrays,
    load_color_image,
    load_depth_map,
)
from metric_depth_ros.ros.calibration_files import read_transforms_yaml
from metric_depth_ros.untrusted_files import (
    check_array_claims,
    inside,
    read_text,
    read_yaml,
)


def png(width, height):
    """A PNG of a hundred bytes that claims any size."""

    def chunk(kind, body):
        return (
            struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        )

    header = struct.pack('>IIBBBBB', width, height, 16, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'x' * 20)


def npy(shape, dtype='<f4'):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {'descr': dtype, 'fortran_order': False, 'shape': shape}
    )
    return stream.getvalue()


LARGE = (1 << 31,)
BOMBS = {
    'picture.png': (png(46_341, 46_341), load_color_image),
    'within_the_sides.png': (png(32_768, 32_768), load_color_image),
    'depth.png': (png(32_768, 32_768), lambda path: load_depth_map(path, 0.001)),
    'array.npy': (npy(LARGE), load_array),
    'negative.npy': (npy((-1,)), load_array),
    'beyond_64_bits.npy': (npy((0, 10**30)), load_array),
    'laughs.yaml': (
        b'a: &a [l, l, l]\n'
        + b''.join(b'%c: &%c [*%c, *%c]\n' % (n + 1, n + 1, n, n) for n in range(97, 120)),
        read_transforms_yaml,
    ),
    'nested.yaml': (b'[' * 100_000, read_camera),
    'nested.json': (b'[' * 100_000, read_camera),
    'code.yaml': (b'!!python/object/apply:os.system ["touch stolen"]', read_transforms_yaml),
}  # fmt: skip


@pytest.mark.parametrize('name', BOMBS)
def test_a_small_file_with_a_large_claim_is_refused(name, tmp_path):
    content, read = BOMBS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read(path)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize('shape', [(0, 10**30), (10**4000, 10**4000)])
def test_a_side_that_no_array_has_is_named_in_one_sentence(shape, tmp_path):
    path = tmp_path / 'array.npy'
    path.write_bytes(npy(shape))
    with pytest.raises(InputError, match=r'array\.npy cannot be read: it claims a side of more'):
        load_array(path)


def test_an_archive_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / 'points.npz'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('xyz.npy', npy((1 << 29, 3)))
    with pytest.raises(InputError, match='claims shape'):
        load_arrays(path)


@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_refused(method, tmp_path):
    path = tmp_path / 'points.npz'
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('x.npy', npy((4, 3)))
    content = bytearray(path.read_bytes())
    content[50:75] = b'\xff' * 25  # of the member, behind its headers
    path.write_bytes(content)
    with pytest.raises(InputError, match='cannot be read'):
        check_array_claims(path)


def test_a_garbled_header_of_an_array_is_refused(tmp_path):
    path = tmp_path / 'array.npy'
    path.write_bytes(npy((4, 3)).replace(b'}', b' '))
    with pytest.raises(InputError, match='cannot be read as an array'):
        check_array_claims(path)


def test_what_files_claim_is_refused_before_it_is_allocated(tmp_path):
    paths = []
    for name, (content, read) in BOMBS.items():
        if read in (load_color_image, load_array):
            paths.append((tmp_path / name, read.__name__))
            (tmp_path / name).write_bytes(content)
    script = f"""
        import resource
        from pathlib import Path
        from metric_depth_ros.framesets import stored_arrays
        from metric_depth_ros.errors import InputError
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for path, reader in {[(str(p), r) for p, r in paths]!r}:
            try:
                getattr(stored_arrays, reader)(Path(path))
            except InputError:
                continue
            raise SystemExit(path + ' was read')
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 32e6


def test_pictures_of_other_formats_are_not_decoded(tmp_path):
    path = tmp_path / 'picture.png'
    path.write_bytes(cv2.imencode('.bmp', np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    with pytest.raises(InputError, match='PNG or JPEG'):
        load_color_image(path)


def test_good_arrays_of_every_layout_are_read(tmp_path):
    for array in (np.zeros((3, 4), np.float32), np.asfortranarray(np.ones((2, 3))), np.array(5)):
        np.save(tmp_path / 'a.npy', array)
        np.testing.assert_array_equal(load_array(tmp_path / 'a.npy'), array)


def test_yaml_without_aliases_is_read(tmp_path):
    path = tmp_path / 'a.yaml'
    path.write_text('a: [1, 2.5, {b: c}]')
    assert read_yaml(path, 'any') == {'a': [1, 2.5, {'b': 'c'}]}


@pytest.mark.parametrize('relative', ['../secret', '/etc/passwd', 'a/../../secret', 'link'])
def test_a_path_that_leads_out_of_its_folder_is_refused(relative, tmp_path):
    folder = tmp_path / 'set'
    folder.mkdir()
    os.symlink('/etc/passwd', folder / 'link')
    with pytest.raises(InputError, match='leads out'):
        inside(folder, relative, 'any')


@pytest.mark.parametrize('value', ['!!bool foo', '!!timestamp foo', '!!int ""', '!!float ""'])
def test_a_value_that_is_not_of_its_tag_is_refused(value, tmp_path):
    path = tmp_path / 'a.yaml'
    path.write_text(f'a: {value}')
    with pytest.raises(InputError, match='cannot be read as YAML'):
        read_yaml(path, 'any')


def test_a_pipe_is_refused_instead_of_read_for_ever(tmp_path):
    os.mkfifo(tmp_path / 'pipe.yaml')
    with pytest.raises(InputError, match=r'pipe\.yaml is not a file'):
        read_text(tmp_path / 'pipe.yaml', 'calibration')


@pytest.mark.parametrize('read', [load_color_image, load_array, lambda p: read_text(p, 'file')])
def test_a_missing_file_is_named_once(read, tmp_path):
    missing = tmp_path / 'missing'
    with pytest.raises(InputError, match='No such file') as refused:
        read(missing)
    assert str(refused.value).count(str(missing)) == 1
