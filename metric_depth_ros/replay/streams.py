# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag go to which input of the node, and what they are scored against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metric_depth_ros.bags import layout
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.errors import InputError

GROUND_TRUTH = 'ground_truth'
COMPRESSED_TYPE = 'sensor_msgs/msg/CompressedImage'
# Input of the node (or the ground truth): its topic in the bags that this package writes.
DEFAULT_TOPICS = {
    'image': layout.IMAGE_TOPIC,
    'camera_info': layout.CAMERA_INFO_TOPIC,
    'points': layout.POINTS_TOPIC,
    'radar': layout.RADAR_TOPIC,
    'sensor_depth/image': layout.SENSOR_DEPTH_TOPIC,
    'sensor_depth/camera_info': layout.SENSOR_DEPTH_INFO_TOPIC,
    GROUND_TRUTH: layout.GROUND_TRUTH_TOPIC,
}
_TYPES = {
    'image': (layout.IMAGE_TYPE, COMPRESSED_TYPE),
    'camera_info': (layout.CAMERA_INFO_TYPE,),
    'points': (layout.POINTS_TYPE,),
    'radar': (layout.POINTS_TYPE,),
    'sensor_depth/image': (layout.IMAGE_TYPE,),
    'sensor_depth/camera_info': (layout.CAMERA_INFO_TYPE,),
    GROUND_TRUTH: (layout.IMAGE_TYPE, layout.POINTS_TYPE),
}
_REQUIRED = ('image', 'camera_info')


@dataclass(frozen=True)
class Streams:
    """The topics of a bag by what they are to the node.

    Parameters
    ----------
    topics
        Topic by input of the node, of those that the bag has; `GROUND_TRUTH` is never played.
    types
        Message type by topic.
    frames
        Number of images.
    """

    topics: Mapping[str, str]
    types: Mapping[str, str]
    frames: int

    @property
    def played(self) -> dict[str, str]:
        """Message type by topic, of the topics that the node gets."""
        return {t: self.types[t] for name, t in self.topics.items() if name != GROUND_TRUTH}

    @property
    def image(self) -> str:
        """Topic of the image."""
        return self.topics['image']

    @property
    def is_compressed(self) -> bool:
        """Whether the image is a CompressedImage."""
        return self.types[self.image] == COMPRESSED_TYPE

    @property
    def prompt_sources(self) -> list[str]:
        """Values for the node's parameter ``prompt.sources`` that the bag can serve."""
        names = {'points': 'points', 'radar': 'radar', 'sensor_depth/image': 'sensor_depth'}
        return [source for name, source in names.items() if name in self.topics]

    @property
    def remappings(self) -> dict[str, str]:
        """Topic of the bag by relative topic of the node."""
        inputs = {n: t for n, t in self.topics.items() if n != GROUND_TRUTH}
        if self.is_compressed:
            inputs['image/compressed'] = inputs.pop('image')
        return inputs


def find_streams(bag: Path, chosen: Mapping[str, str]) -> Streams:
    """Look for the node's inputs in a bag.

    Parameters
    ----------
    bag
        Bag folder or file.
    chosen
        Topics by input name that replace those of `DEFAULT_TOPICS`.

    Raises
    ------
    InputError
        No image or CameraInfo, a chosen topic that is not there, or one of another type.
    """
    for name in chosen:
        if name not in DEFAULT_TOPICS:
            raise InputError(
                'replay_topic',
                f'--topic {name}:=… names no input: expected one of {", ".join(DEFAULT_TOPICS)}.',
            )
    with BagReader(bag) as reader:
        types = reader.topics
        topics = {}
        for name, default in DEFAULT_TOPICS.items():
            topic = chosen.get(name, default)
            if topic in types:
                _check_type(bag, name, topic, types[topic])
                topics[name] = topic
            elif name in chosen or name in _REQUIRED:
                raise InputError(
                    'replay_topic',
                    f'{bag} {reader.absence(topic)} for the input {name}: choose one with --topic '
                    f'{name}:=TOPIC; it has {", ".join(sorted(types)) or "none"}.',
                )
        return Streams(topics, types, reader.count(topics['image']))


def check_sources(bag: Path, streams: Streams, sources: Sequence[str]) -> None:
    """Refuse a node whose prompt comes from none of the topics of a bag.

    Parameters
    ----------
    bag, streams
        What is to be played.
    sources
        The node's parameter ``prompt.sources``.

    Raises
    ------
    InputError
        ``'replay_sources'``: there are sources, and the bag has none of them.
    """
    known = streams.prompt_sources
    if sources and not set(sources) & set(known):
        raise InputError(
            'replay_sources',
            f'parameter prompt.sources of the node is [{", ".join(sources)}], of which nothing '
            f'is played: {bag} has [{", ".join(known)}]. Name its topics with --topic '
            f"INPUT:=TOPIC, or give --param 'prompt.sources:=[{', '.join(known)}]'.",
        )


def _check_type(bag: Path, name: str, topic: str, message_type: str) -> None:
    if message_type not in _TYPES[name]:
        raise InputError(
            'replay_topic',
            f'{bag}: topic {topic} is {message_type}, but the input {name} takes '
            f'{" or ".join(_TYPES[name])}: choose another with --topic {name}:=TOPIC.',
        )
