# SPDX-License-Identifier: Apache-2.0
"""Quality of service of the node's topics, and the report of what does not match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from rclpy.subscription import Subscription

from metric_depth_ros.errors import InputError

Warn = Callable[[str, str, str], object]  # topic, fault, message
_OUTPUT_DEPTH = 2


def sensor_qos(depth: int) -> QoSProfile:
    """Return the profile of an input: best effort matches every publisher."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def output_qos(depth: int = _OUTPUT_DEPTH) -> QoSProfile:
    """Return the profile of an output: reliable matches every subscriber (rviz included)."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE
    )


def overridable() -> QoSOverridingOptions:
    """Let users override what matters by parameters (qos_overrides./topic...)."""
    return QoSOverridingOptions(
        policy_kinds=(
            QoSPolicyKind.HISTORY,
            QoSPolicyKind.DEPTH,
            QoSPolicyKind.RELIABILITY,
            QoSPolicyKind.DURABILITY,
        )
    )


@contextmanager
def refused_topics(node: Node, topic: str) -> Iterator[None]:
    """Turn what rclpy says about a topic that cannot be made into one sentence.

    Parameters
    ----------
    node
        Which makes it.
    topic
        As remapped.

    Raises
    ------
    InputError
        The publisher or subscription made inside could not be made.
    """
    try:
        yield
    except (
        RuntimeError,  # rclpy's own RCLError is one, and so is an unknown policy value
        InvalidParameterTypeException,
        InvalidParameterValueException,
        InvalidQosOverridesError,
    ) as error:
        # rclpy declares all overrides with their defaults: only given ones can be at fault.
        given = getattr(node, '_parameter_overrides', {})
        remedy = (
            f'correct the parameters qos_overrides.{topic}'
            if any(name.startswith(f'qos_overrides.{topic}.') for name in given)
            else 'where it is in use in this process with another message type, remap each topic '
            'of the node to one of its own (-r NAME:=TOPIC)'
        )
        raise InputError('qos', f'{topic}: {error}: {remedy}.') from error


def advertise(
    node: Node, kind: type, topic: str, warn: Warn, depth: int = _OUTPUT_DEPTH
) -> Publisher:
    """Publish in a way that users may override, and that tells who cannot receive it.

    Parameters
    ----------
    topic
        Relative names are resolved by the node.
    warn
        Called with the resolved topic, the name of a fault, and a sentence.
    depth
        Messages that wait in the middleware.

    Raises
    ------
    InputError
        Quality of service overrides that cannot be, or a topic in use with another type.
    """
    resolved = node.resolve_topic_name(topic)
    with refused_topics(node, resolved):
        return node.create_publisher(
            kind,
            topic,
            output_qos(depth),
            event_callbacks=publisher_events(resolved, warn),
            qos_overriding_options=overridable(),
        )


def subscribe(
    node: Node,
    kind: type,
    topic: str,
    callback: Callable[[Any], None],
    profile: QoSProfile,
    warn: Warn,
    *,
    raw: bool = False,
) -> Subscription:
    """Subscribe in a way that users may override, and that tells what does not match.

    Parameters
    ----------
    topic
        Relative names are resolved by the node.
    profile
        Of this subscription alone: rclpy writes what the user overrides into it.
    warn
        Called with the resolved topic, the name of a fault, and a sentence.
    raw
        The callback gets bytes.

    Raises
    ------
    InputError
        Quality of service overrides that cannot be, or a topic in use with another type.
    """
    resolved = node.resolve_topic_name(topic)
    with refused_topics(node, resolved):
        return node.create_subscription(
            kind,
            topic,
            callback,
            profile,
            event_callbacks=subscription_events(resolved, warn),
            qos_overriding_options=overridable(),
            raw=raw,
        )


def subscription_events(topic: str, warn: Warn) -> SubscriptionEventCallbacks:
    """Report publishers whose quality of service does not match, and messages lost."""

    def incompatible(event: object) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)  # type: ignore[attr-defined]
        warn(
            topic,
            'qos',
            f'a publisher offers another quality of service ({policy}), so nothing is received '
            f'from it: change the publisher, or the parameter '
            f'qos_overrides.{topic}.subscription.{_parameter_word(policy)}.',
        )

    def lost(event: object) -> None:
        count = event.total_count_change  # type: ignore[attr-defined]
        warn(
            topic,
            'lost',
            f'the middleware lost {count} message(s): large messages need the shipped Fast DDS '
            'profile in the process that sends them (FASTRTPS_DEFAULT_PROFILES_FILE, see '
            'metric-depth doctor), config/fastdds_large.xml from 64 MiB on.',
        )

    return SubscriptionEventCallbacks(
        incompatible_qos=incompatible, message_lost=lost, use_default_callbacks=False
    )


def publisher_events(topic: str, warn: Warn) -> PublisherEventCallbacks:
    """Report subscribers whose quality of service does not match."""

    def incompatible(event: object) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)  # type: ignore[attr-defined]
        warn(
            topic,
            'qos',
            f'a subscriber asks for another quality of service ({policy}), so it receives '
            f'nothing: change the subscriber, or the parameter '
            f'qos_overrides.{topic}.publisher.{_parameter_word(policy)}.',
        )

    return PublisherEventCallbacks(incompatible_qos=incompatible, use_default_callbacks=False)


def _parameter_word(policy: str) -> str:
    return policy.removesuffix('_QOS_POLICY').lower()
