# SPDX-License-Identifier: Apache-2.0
"""A depth node that nobody listens to estimates nothing, and says so."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray


class Watcher:
    """A client of one node that hears what /diagnostics says of it, and no output."""

    def __init__(self, client, namespace):
        self.client = client
        self._name = f'{namespace}/{namespace}: frames'
        client.subscribe(DiagnosticArray, '/diagnostics')

    def send(self, encoding='rgb8'):
        frame = self.client.frame()
        frame['image'].encoding = encoding
        self.client.send(frame)

    @property
    def _status(self):
        arrays = reversed(self.client.received['/diagnostics'])
        statuses = (array.status[0] for array in arrays)
        return next((s for s in statuses if s.name == self._name), None)

    @property
    def message(self):
        return '' if self._status is None else self._status.message

    def count(self, name):
        values = [] if self._status is None else self._status.values
        return int({pair.key: pair.value for pair in values}.get(name, 0))


@pytest.fixture
def watch(start_node, client_in):
    """Return a function that starts a node in a namespace, and what watches it."""

    def start(namespace, **parameters):
        remaps = [f'__ns:=/{namespace}', f'__node:={namespace}']
        node = start_node({'diagnostics.period_s': 0.2, **parameters}, remaps)
        return node, Watcher(client_in(namespace), namespace)

    return start


def test_without_subscribers_images_are_checked_and_not_answered(watch):
    _, watcher = watch('lazy')
    watcher.client.repeat(
        watcher.send,
        lambda: watcher.count('idle') >= 3 and 'nobody subscribes' in watcher.message,
        'images that nobody wants answered',
    )
    assert watcher.count('frames_out') == 0
    watcher.client.connect()
    watcher.client.repeat(
        watcher.send,
        lambda: watcher.message == 'frames are answered',
        'the word that frames are answered',
    )


def test_a_broken_image_is_told_of_while_nobody_subscribes(watch):
    node, watcher = watch('broken')
    watcher.client.repeat(
        lambda: watcher.send('unknown'), lambda: '[image_encoding]' in node.log, 'the fault'
    )


def test_a_node_that_is_not_lazy_answers_every_image(watch):
    _, watcher = watch('eager', lazy=False)
    watcher.client.repeat(
        watcher.send, lambda: watcher.count('frames_out'), 'answers though nobody subscribes'
    )
    assert watcher.count('idle') == 0
