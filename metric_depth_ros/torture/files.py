# SPDX-License-Identifier: Apache-2.0
"""Files that are damaged, of another kind, or made to harm, given to the commands that read them.

Every one must be refused with one sentence and exit code 2, in bounded memory. Runs the commands
as processes; knows no rclpy.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metric_depth_ros.bags.layout import CAMERA_INFO_TOPIC, IMAGE_TOPIC
from metric_depth_ros.bags.messages import camera_info_message, color_message
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.torture.fault import Outcome

MEMORY_LIMIT_BYTES = 12 * 1024**3  # of addresses, of which libraries and threads take most
_TIMEOUT_S = 120.0
_BEGIN_NS, _PERIOD_NS = 1_317_000_000 * NS_PER_S, NS_PER_S // 10
_REFUSED = 2
_DISK_BYTES = 300_000
_DISK_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from metric_depth_ros.bags.messages import color_message
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
try:
    with BagWriter(Path(sys.argv[1])) as bag:
        for stamp in range(1, 400):
            bag.write('/image', color_message(image, stamp, 'camera'), stamp)
except InputError as error:
    print(error, file=sys.stderr)
    raise SystemExit(2)
"""


@dataclass(frozen=True)
class FileFault:
    """A file that is made in a folder, the command that reads it, and words of its refusal."""

    name: str
    make: Callable[[Path], list[str]]
    says: str


def run_file_fault(fault: FileFault, folder: Path) -> Outcome:
    """Make the file, run the command, and judge how it was refused."""
    began_s = time.monotonic()
    command = fault.make(folder)
    try:
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            errors='replace',
            timeout=_TIMEOUT_S,
            check=False,
            preexec_fn=_limit_memory,
        )
        words = (done.stderr.strip() or done.stdout.strip())[-600:]
        in_one_sentence = 'Traceback' not in done.stderr
        passed = done.returncode == _REFUSED and in_one_sentence and fault.says in words
        expected = f' without {fault.says!r}' if fault.says not in words else ''
        observed = words if passed else f'exit code {done.returncode}{expected}: {words}'
    except subprocess.TimeoutExpired:
        passed, observed = False, f'no answer within {_TIMEOUT_S:g} s'
    return Outcome(
        'files',
        fault.name,
        'refused with one sentence and exit code 2, in bounded memory',
        observed.replace(str(folder), '.'),
        passed,
        None,
        time.monotonic() - began_s,
    )


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


def _metric_depth(*arguments: object) -> list[str]:
    return ['-m', 'metric_depth_ros.cli.main', *map(str, arguments)]


def _good_bag(folder: Path) -> Path:
    bag = folder / 'bag'
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    camera = CameraModel.pinhole(64, 48, 50.0, 50.0, 32.0, 24.0)
    with BagWriter(bag) as writer:
        for number in range(40):
            stamp = _BEGIN_NS + number * _PERIOD_NS
            writer.write(IMAGE_TOPIC, color_message(image, stamp, 'camera'), stamp)
            info = camera_info_message(camera, stamp, 'camera')
            writer.write(CAMERA_INFO_TOPIC, info, stamp)
    return bag


def _replay_changed(change: Callable[[bytes], bytes]) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        bag = _good_bag(folder)
        data = next(bag.glob('*.mcap'))
        data.write_bytes(change(data.read_bytes()))
        return _metric_depth('replay', bag, '--out', folder / 'out', '--json', folder / 'a.json')

    return make


def _replay_metadata(change: Callable[[str], str]) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        bag = _good_bag(folder)
        metadata = bag / 'metadata.yaml'
        metadata.write_text(change(metadata.read_text(encoding='utf-8')), encoding='utf-8')
        return _metric_depth('replay', bag, '--out', folder / 'out', '--json', folder / 'a.json')

    return make


def _replay_computed(folder: Path) -> list[str]:
    """Return the command for a database of a kilobyte whose messages are a gigabyte each."""
    bag = folder / 'bag.db3'
    with closing(sqlite3.connect(bag)) as database:
        database.executescript(_COMPUTED)
    return _metric_depth('replay', bag, '--out', folder / 'out', '--json', folder / 'a.json')


def _complete(name: str, content: bytes, option: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        path = folder / name
        path.write_bytes(content)
        camera = folder / 'good_camera.json'
        camera.write_text(
            '{"width": 64, "height": 48, "K": [[50, 0, 32], [0, 50, 24], [0, 0, 1]]}'
        )
        good = folder / 'good.png'
        good.write_bytes(png_claiming(64, 48, whole=True))
        given = {'image': good, '--camera': camera, option: path}
        options = [part for key, value in given.items() if key != 'image' for part in (key, value)]
        return _metric_depth('complete', given['image'], *options, '-o', folder / 'out')

    return make


def _node(name: str, content: bytes, parameter: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        path = folder / name
        path.write_bytes(content)
        return ['-m', 'metric_depth_ros.nodes.depth', '--ros-args', parameter, str(path)]

    return make


def _weights(content: bytes, name: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        path = folder / name
        path.write_bytes(content)
        return _complete_by(folder, 'student_pointmap', '--weights', path)

    return make


def _pickled_weights(pickled: bytes) -> Callable[[Path], list[str]]:
    """Return the maker of an archive as torch has it, around a pickle."""

    def make(folder: Path) -> list[str]:
        path = folder / 'weights.pt'
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('x/data.pkl', pickled)
        return _complete_by(folder, 'student_pointmap', '--weights', path)

    return make


def _described_model(
    config: Mapping[str, Any], command: Callable[[Path], Sequence[object]]
) -> Callable[[Path], list[str]]:
    """Return the maker of a folder of transformers whose configuration asks for too much.

    Parameters
    ----------
    config
        Its ``config.json``.
    command
        Returns the options that name the folder.
    """

    def make(folder: Path) -> list[str]:
        model = folder / 'model'
        model.mkdir()
        (model / 'config.json').write_text(json.dumps(config))
        (model / 'model.safetensors').write_bytes(_EMPTY_SAFETENSORS)
        return _complete_by(folder, *command(model))

    return make


def _complete_by(folder: Path, estimator: object, *options: object) -> list[str]:
    options = ('--estimator', estimator, *options, '-o', folder / 'out')
    return _metric_depth('complete', _picture(folder), *options)


def _picture(folder: Path) -> Path:
    path = folder / 'picture.png'
    path.write_bytes(png_claiming(64, 48, whole=True))
    return path


def _disk_full(folder: Path) -> list[str]:
    return ['-c', _DISK_FULL, str(folder / 'recording'), str(_DISK_BYTES)]


def _escape(folder: Path) -> list[str]:
    index = folder / 'set'
    index.mkdir()
    (index / 'frames.json').write_text(
        '{"name": "x", "frames": [{"id": "0", "width": 8, "height": 8, "image": "../../etc"}]}'
    )
    return _metric_depth('evaluate', index, '--json', folder / 'a.json')


def _snapshot_with_code(folder: Path) -> list[str]:
    snapshot = folder / 'snapshot'
    snapshot.mkdir()
    (snapshot / 'snapshot.json').write_text('{"stamp_ns": 1, "frame_id": "a"}')
    shutil.copy(_picture(folder), snapshot / 'image.png')
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    (snapshot / 'published.npz').write_bytes(stream.getvalue())
    return _metric_depth('repeat', snapshot)


def png_claiming(width: int, height: int, whole: bool = False) -> bytes:
    """Return a PNG that claims a size; with `whole`, one that has it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack('>I', zlib.crc32(kind + body))
        return struct.pack('>I', len(body)) + kind + body + checksum

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    rows = b''.join(b'\0' + bytes(width) for _ in range(height)) if whole else b''
    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(rows))
        + chunk(b'IEND', b'')
    )


def _png_with_large_chunk() -> bytes:
    whole = png_claiming(64, 48, whole=True)
    at = whole.index(b'IDAT')
    return whole[: at - 4] + b'\xff\xff\xff\xff' + whole[at:]


def _array_claiming(count: int) -> bytes:
    stream = io.BytesIO()
    header = {'descr': '<f4', 'fortran_order': False, 'shape': (count, 3)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


_ALIASES = b'a: &a [l, l]\n' + b''.join(
    b'%c: &%c [*%c, *%c]\n' % (n + 1, n + 1, n, n) for n in range(97, 120)
)
_COMPUTED = """
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT,
  offered_qos_profiles TEXT);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER,
  data BLOB AS (zeroblob(1000000000)));
INSERT INTO topics VALUES(1, '/image', 'sensor_msgs/msg/Image', 'cdr', '');
INSERT INTO messages(topic_id, timestamp) VALUES(1, 1), (1, 2), (1, 3);
"""
_PLY = b'ply\nformat ascii 1.0\nelement vertex 2147483648\nproperty float x\nend_header\n'
_PICKLE = b'cos\nsystem\n(S"touch stolen"\ntR.'
# A pair of nothing twice, a pair of that twice and so on, as the key of a dict: to hash it, Python
# would go through 2^60 pairs.
_PAIRS = b''.join(b'h%c\x86q%c' % (number, number + 1) for number in range(60))
_KEY_OF_PAIRS = b'\x80\x02})q\0' + _PAIRS + b'K\1s.'
_MANY_DICTS = b'\x80\x02(' + b'}' * 3_000_000 + b't.'
_EMPTY_SAFETENSORS = struct.pack('<Q', 2) + b'{}'
_LONG_CONFIG = b'{"__metadata__": {"model_config": "%b"}}' % (b'[' * 2_000_000)
_MANY_LABELS = {'model_type': 'glpn', 'num_labels': 30_000_000}
_MANY_TAPS = {
    'model_type': 'qwen3_vl',
    'text_config': {},
    'vision_config': {'deepstack_visual_indexes': [0] * 100_000},
}
_MANY_LAYERS = {'model_type': 'llava', 'vision_config': {'num_hidden_layers': 1_000_000}}

FILE_FAULTS: tuple[FileFault, ...] = (
    FileFault('bag cut in half', _replay_changed(lambda data: data[: len(data) // 2]),
              'end magic'),
    FileFault('bag of zeros', _replay_changed(lambda data: bytes(len(data))), 'File magic'),
    FileFault('bag without content', _replay_changed(lambda data: b''), 'to be empty'),
    FileFault(
        'bag with garbled chunks',
        _replay_changed(lambda data: data[:1000] + bytes(200) + data[1200:]),
        'image_step',
    ),
    FileFault(
        'bag whose records claim 2^60 bytes',
        _replay_changed(lambda data: data[:9] + struct.pack('<Q', 1 << 60) + data[17:]),
        'claims 1152921504606846976 bytes',
    ),
    FileFault('bag that computes a gigabyte a message', _replay_computed,
              'computes what it holds'),
    FileFault('bag with YAML of another kind', _replay_metadata(lambda text: 'just: this'),
              'metadata key is missing'),
    FileFault(
        'bag with metadata that runs code',
        _replay_metadata(lambda text: '!!python/object/apply:os.system ["touch stolen"]'),
        'could not determine a constructor',
    ),
    FileFault(
        'bag whose metadata leads out of its folder',
        _replay_metadata(lambda text: text.replace('bag.mcap', '../../../etc/passwd')),
        'files are missing',
    ),
    FileFault(
        'bag without an image topic',
        _replay_metadata(lambda text: text.replace(IMAGE_TOPIC, '/elsewhere')),
        'it has /camera/camera_info, /elsewhere',
    ),
    FileFault('picture that claims 2^31 pixels',
              _complete('bomb.png', png_claiming(46_341, 46_341), '--prompt'),
              'claims 46341x46341 pixels'),
    FileFault('picture with a chunk that claims 4 GB',
              _complete('bomb.png', _png_with_large_chunk(), '--prompt'), 'has no readable size'),
    FileFault('array that claims 2^31 points',
              _complete('bomb.npy', _array_claiming(1 << 31), '--prompt'),
              'claims shape (2147483648, 3)'),
    FileFault('cloud that claims 2^31 points', _complete('bomb.ply', _PLY, '--prompt'),
              'claims points of 2147483648 numbers'),
    FileFault('camera file of aliases', _complete('bomb.yaml', _ALIASES, '--camera'),
              'the alias *a is not taken'),
    FileFault('camera file nested a million deep',
              _complete('deep.yaml', b'[' * 1_000_000, '--camera'), 'recursion depth'),
    FileFault('camera file that runs code', _complete(
        'code.yaml', b'!!python/object/apply:os.system ["touch stolen"]', '--camera'),
        'could not determine a constructor'),
    FileFault('parameter file that is no YAML',
              _node('params.yaml', b'depth: [\x00\xff', '--params-file'), "Couldn't parse params"),
    FileFault('parameter file of the wrong schema',
              _node('params.yaml', b'- just\n- a list\n', '--params-file'),
              'Sequences cannot be key'),
    FileFault('weights that run code', _pickled_weights(_PICKLE), 'asks for os.system'),
    FileFault('weights with a key that takes years to hash', _pickled_weights(_KEY_OF_PAIRS),
              'values and characters'),
    FileFault('weights around three million dicts', _pickled_weights(_MANY_DICTS),
              'expected at most'),
    FileFault('weights with a configuration of megabytes',
              _weights(struct.pack('<Q', len(_LONG_CONFIG)) + _LONG_CONFIG, 'weights.safetensors'),
              'characters'),
    FileFault('model that asks for millions of labels',
              _described_model(_MANY_LABELS, lambda model: (f'hf:{model}',)), 'num_labels'),
    FileFault('model that asks for a million layers',
              _described_model(_MANY_LAYERS, lambda model: ('depthlm', '--weights', model)),
              'num_hidden_layers'),
    FileFault('model that asks for too many taps',
              _described_model(_MANY_TAPS, lambda model: ('depthvlm', '--weights', model)),
              'deepstack_visual_indexes'),
    FileFault('weights cut short',
              _weights(struct.pack('<Q', 1 << 60) + b'{', 'weights.safetensors'),
              'header too large'),
    FileFault('frame set that leads out of its folder', _escape, 'leads out of the set folder'),
    FileFault('snapshot with pickled objects', _snapshot_with_code, 'Python objects'),
    FileFault('disk full while recording', _disk_full, 'cannot be written any further'),
)  # fmt: skip
