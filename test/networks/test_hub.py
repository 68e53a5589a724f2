# SPDX-License-Identifier: Apache-2.0
"""A checkpoint is found on this machine, or the message says how to bring it here."""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.hub import fetch_command, resolve_checkpoint
from metric_depth_ros.networks.model_folder import resolve_folder

REPOSITORY, FILENAME, COMMIT = 'someone/some-depth', 'model.pt', '0' * 40

RESOLVE = f"""
from metric_depth_ros.networks.hub import resolve_checkpoint
from metric_depth_ros.errors import InputError
try:
    print(resolve_checkpoint({REPOSITORY!r}, {FILENAME!r}))
except InputError as error:
    print(error.fault, error)
"""


def resolve_in_a_process(cache, **environment):
    """Resolve with a cache of its own; huggingface_hub reads the environment once."""
    return subprocess.run(
        [sys.executable, '-c', RESOLVE],
        env={**os.environ, 'HF_HOME': str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.strip()


class RefusingHub(ThreadingHTTPServer):
    """A hub that refuses everything for one reason."""

    code = ''

    @property
    def address(self):
        return f'http://127.0.0.1:{self.server_port}'


class Refusal(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(403 if self.server.code == 'GatedRepo' else 404)
        self.send_header('X-Error-Code', self.server.code)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def refusing_hub():
    with RefusingHub(('127.0.0.1', 0), Refusal) as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def test_a_file_is_itself_and_a_folder_holds_it(tmp_path):
    path = tmp_path / FILENAME
    path.write_bytes(b'')

    assert resolve_checkpoint(str(path), 'other.pt') == path
    assert resolve_checkpoint(str(tmp_path), FILENAME) == path


@pytest.mark.parametrize(
    ('filename', 'said'),
    [
        ('model.pt', r'owner/run is a folder without model\.pt: .*\(a\.safetensors, b\.pt\)'),
        ('', r'owner/run is a folder: name the checkpoint file in it \(a\.safetensors, b\.pt\)'),
    ],
)
def test_a_folder_that_lacks_the_file_is_not_looked_for_on_the_hub(
    filename, said, tmp_path, monkeypatch
):
    folder = tmp_path / 'owner' / 'run'
    folder.mkdir(parents=True)
    for name in ('b.pt', 'a.safetensors', 'log.txt'):
        (folder / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('metric_depth_ros.networks.hub._reach', lambda *_: pytest.fail('asked'))
    with pytest.raises(InputError, match=said) as refused:
        resolve_checkpoint('owner/run', filename)
    assert refused.value.fault == 'checkpoint_missing'


@pytest.mark.parametrize(
    'reference',
    [
        'missing.pt',
        'a/b/c',
        '/nowhere/x',
        'nowhere',
        '/nowhere/a/folder',
        '~/nowhere',
        '../nowhere/x',
        'owner/model.safetensors',
        'owner/na--me',
        'owner/na..me',
        'owner/name.',
        'owner/name.git',
        f'owner/{"n" * 97}',
        'owner/naïve',
        'owner/na\nme',
    ],
)
def test_what_is_neither_file_nor_id_is_refused(reference):
    for resolve in (lambda r: resolve_checkpoint(r, FILENAME), resolve_folder):
        with pytest.raises(InputError, match='neither a checkpoint file nor a Hugging Face id'):
            resolve(reference)


def test_offline_the_message_has_the_command_that_fetches_the_file(tmp_path):
    said = resolve_in_a_process(tmp_path, HF_HUB_OFFLINE='1')

    assert said.startswith('checkpoint_missing ')
    assert f'`hf download {REPOSITORY} {FILENAME}`' in said
    assert len(said.splitlines()) == 1


@pytest.fixture
def silent_port():
    """A port whose connections are accepted by nobody and answered by nothing."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        server.listen(1)
        yield server.getsockname()[1]


def test_a_hub_that_never_answers_is_given_up_soon(silent_port, tmp_path):
    said = resolve_in_a_process(
        tmp_path,
        HF_ENDPOINT=f'http://127.0.0.1:{silent_port}',
        HF_HUB_OFFLINE='0',
        NO_PROXY='127.0.0.1',
    )

    assert 'the hub cannot be reached' in said
    assert f'`hf download {REPOSITORY} {FILENAME}`' in said


def test_a_hub_that_refuses_connections_is_not_tried_again(monkeypatch, tmp_path):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    asked = []

    def failing(url, **options):
        asked.append(url)
        raise OSError('no route to host')

    monkeypatch.setattr('huggingface_hub.get_hf_file_metadata', failing)
    with pytest.raises(InputError, match='cannot be reached'):
        resolve_checkpoint(REPOSITORY, FILENAME)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ('code', 'reason'),
    [
        ('RepoNotFound', 'no such public repository'),
        ('EntryNotFound', 'no such file'),
        ('GatedRepo', 'license must be accepted'),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_command(tmp_path, refusing_hub, code, reason):
    refusing_hub.code = code

    said = resolve_in_a_process(
        tmp_path, HF_ENDPOINT=refusing_hub.address, HF_HUB_OFFLINE='0', NO_PROXY='127.0.0.1'
    )

    assert reason in said
    assert f'`hf download {REPOSITORY} {FILENAME}`' in said
    assert len(said.splitlines()) == 1


def test_a_cached_file_needs_no_network(tmp_path):
    folder = tmp_path / 'hub' / f'models--{REPOSITORY.replace("/", "--")}'
    snapshot = folder / 'snapshots' / COMMIT
    snapshot.mkdir(parents=True)
    (folder / 'refs').mkdir()
    (folder / 'refs' / 'main').write_text(COMMIT)
    (snapshot / FILENAME).write_bytes(b'')

    assert resolve_in_a_process(tmp_path, HF_HUB_OFFLINE='1') == str(snapshot / FILENAME)


def test_the_command_names_a_revision():
    assert fetch_command('a/b', 'c.pt', 'v1') == 'hf download a/b c.pt --revision v1'


def test_without_a_file_the_command_fetches_the_repository():
    assert fetch_command('a/b') == 'hf download a/b'


def test_a_local_file_does_not_import_the_hub(tmp_path):
    (tmp_path / FILENAME).write_bytes(b'')
    program = (
        'import sys\n'
        'from metric_depth_ros.networks.hub import resolve_checkpoint\n'
        f'resolve_checkpoint({str(tmp_path)!r}, {FILENAME!r})\n'
        "print('huggingface_hub' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()

    assert said == 'False'
