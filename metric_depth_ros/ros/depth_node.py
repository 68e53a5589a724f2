# SPDX-License-Identifier: Apache-2.0
"""The managed node: transitions create and release what the other modules of this room are.

configure: parameters, extrinsics, estimator, publishers. activate: subscriptions and the worker.
Deactivate and clean up release the same in reverse. A configuration that cannot be used fails the
transition with one sentence, and the node stays to be configured again.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from std_srvs.srv import Trigger

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.batching import BatchingEstimator
from metric_depth_ros.ros.channel import Channel
from metric_depth_ros.ros.declaration import DeclaredParameters
from metric_depth_ros.ros.estimation import apply_live, estimator_from
from metric_depth_ros.ros.extrinsics import (
    Extrinsics,
    create_extrinsics,
    needs_extrinsics,
)
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.inputs import SharedStreams
from metric_depth_ros.ros.logs import forward_logs
from metric_depth_ros.ros.pairing import check_installed
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.refusing_lifecycle import RefusingLifecycleNode
from metric_depth_ros.ros.snapshot import save_snapshot
from metric_depth_ros.ros.static_tree import StaticTree

_WORKER_STOP_S = 0.5  # of the two seconds in which an interrupted node is gone
_SUCCESS = TransitionCallbackReturn.SUCCESS
_FAILURE = TransitionCallbackReturn.FAILURE
_ERROR = TransitionCallbackReturn.ERROR


class DepthNode(RefusingLifecycleNode):
    """Dense metric depth of one camera, or of several."""

    def __init__(self) -> None:
        super().__init__('depth')
        self._declared = DeclaredParameters(self, self._prepare_estimator)
        self.add_post_set_parameters_callback(self._on_parameters_set)
        for sentence in self._declared.unknown_names():
            self.get_logger().warning(sentence)
        self._settings = DepthNodeSettings()
        self._faults = FaultLog(self.get_logger().warning, self._settings.log_throttle_s)
        self._releases: list[Callable[[], object]] = []
        self._channels: list[Channel] = []
        self._next_estimator: Estimator | None = None
        self._estimator_is_busy = False  # with a frame that was abandoned

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so."""
        if not self.get_parameter('autostart').value:
            return
        if self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def release(self) -> None:
        """Release everything, whatever the state; safe to call twice."""
        self._deactivate()
        self._run_all(self._releases)
        self._declared.configured = False

    def report_defect(self) -> None:
        """Report the exception being handled; it costs one callback, never the node."""
        self._faults.report(self.get_name(), 'internal', traceback.format_exc())

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the parameters and create all that needs no message."""
        return self._attempt('configure', self._configure, self.release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and answer frames."""
        return self._attempt('activate', self._activate, self._deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop answering; what was configured stays."""
        self._deactivate()
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release what was configured."""
        self.release()
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        self.release()
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, so that the node can be configured again."""
        self.release()
        return _SUCCESS

    def _attempt(
        self, name: str, attempt: Callable[[], None], undo: Callable[[], None]
    ) -> TransitionCallbackReturn:
        """Run one half of a transition; rclpy would hide whatever it raises."""
        try:
            attempt()
        except InputError as error:
            self.get_logger().error(f'cannot {name}: {error}')
            undo()
            return _FAILURE
        except Exception:
            self.get_logger().error(f'cannot {name}: {traceback.format_exc()}')
            undo()
            return _ERROR
        return _SUCCESS

    def _configure(self) -> None:
        settings = self._declared.settings()
        check_installed(settings.sync.policy)
        self._settings = settings
        self._faults = FaultLog(self.get_logger().warning, settings.log_throttle_s)
        self._extrinsics: Extrinsics = (
            create_extrinsics(settings.extrinsics, self)
            if needs_extrinsics(settings.prompt)
            else StaticTree({}, 'nothing')
        )
        self._releases.append(self._extrinsics.close)
        self._releases.append(forward_logs(self.get_logger()))
        self._estimator: Estimator = estimator_from(settings)
        self._releases.append(self._channels.clear)
        for camera in settings.cameras or ('',):
            channel = Channel(self, camera, lambda: self._settings, self._extrinsics, self._faults)
            self._releases.append(channel.close)
            channel.open()
            self._channels.append(channel)
        self._health = self._publisher(DiagnosticArray, '/diagnostics')
        service = self.create_service(Trigger, '~/save_snapshot', self._save_snapshot)
        self._releases.append(lambda: self.destroy_service(service))
        # Steady: health must be told above all when a simulated clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        period_s = settings.diagnostics.period_s
        timer = self.create_timer(period_s, self._publish_health, clock=steady)
        self._releases.append(lambda: self.destroy_timer(timer))
        self._declared.configured = True
        self.get_logger().info(
            f'configured: estimator {self._estimator.name}, prompts from '
            f'{", ".join(settings.prompt.sources) or "nothing"}'
        )

    def _publisher(self, kind: type, topic: str) -> Publisher:
        publisher = self.create_publisher(kind, topic, 10)
        self._releases.append(lambda: self.destroy_publisher(publisher))
        return publisher

    def _activate(self) -> None:
        if self._estimator_is_busy:
            self._estimator, self._estimator_is_busy = estimator_from(self._settings), False
        answering, shared = self._answering(), SharedStreams()
        topics = [
            topic for channel in self._channels for topic in channel.activate(answering, shared)
        ]
        self.get_logger().info(f'active: waiting for {", ".join(dict.fromkeys(topics))}')

    def _answering(self) -> Estimator:
        """Return the estimator as the cameras call it: several of them all at once."""
        if len(self._channels) < 2:
            return self._estimator
        return BatchingEstimator(self._estimator, self._settings.batch_window_s)

    def _deactivate(self) -> None:
        ends_s = time.monotonic() + _WORKER_STOP_S
        for channel in self._channels:
            if not channel.deactivate(max(0.0, ends_s - time.monotonic())):
                self.get_logger().warning('a frame is still being computed; it is abandoned')
                self._estimator_is_busy = True

    def _replace_if_hanging(self) -> None:
        """Give up an estimator that does not come back: another one answers the next frames."""
        limit_s = self._settings.estimator_timeout_s
        hanging = max(self._channels, key=Channel.busy_s, default=None)
        if hanging is None or not limit_s or hanging.busy_s() <= limit_s:
            return
        self._faults.report(
            hanging.image_topic,
            'estimator_hangs',
            f'{self._estimator.name} has not answered a frame for {hanging.busy_s():.1f} s, more '
            f'than estimator_timeout_s = {limit_s:g}: it is given up and made anew.',
        )
        self._estimator = estimator_from(self._settings)
        answering = self._answering()
        for channel in self._channels:
            channel.replace_worker(answering)

    def _prepare_estimator(self, settings: DepthNodeSettings) -> None:
        """Make the estimator that changed parameters ask for, while the old one answers.

        Raises
        ------
        InputError
            It cannot be made.
        """
        self._next_estimator = None
        try:
            self._next_estimator = estimator_from(settings)
        except InputError:
            raise
        except Exception as error:
            self.report_defect()
            raise InputError('estimator', f'the estimator cannot be made: {error}') from error

    def _save_snapshot(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Save inputs and outputs of the newest frame."""
        answered = [channel.newest for channel in self._channels if channel.newest is not None]
        newest = max(answered, key=lambda a: a.frame.stamp_ns, default=None)
        if newest is None:
            response.message = 'no frame has been answered yet.'
            return response
        try:
            folder = save_snapshot(newest, self._settings, self.get_name())
        except InputError as error:
            response.message = str(error)
            self._faults.report(self.get_name(), error.fault, str(error))
            return response
        response.success, response.message = True, str(folder)
        return response

    def _on_parameters_set(self, parameters: list[Parameter]) -> None:
        """Take changed values into force; they have been checked."""
        if not self._declared.configured:
            return
        settings = self._declared.settings()
        self._settings = settings
        if self._next_estimator is not None:
            self._estimator, self._next_estimator = self._next_estimator, None
            answering = self._answering()
            for channel in self._channels:
                channel.use(answering)
            self.get_logger().info(f'the estimator is now {self._estimator.name}')
        apply_live(self._estimator, settings)
        self._faults.throttle_s = settings.log_throttle_s
        for channel in self._channels:
            channel.apply_limits()

    def _publish_health(self) -> None:
        self._replace_if_hanging()
        message = DiagnosticArray(status=[channel.health() for channel in self._channels])
        message.header.stamp = self.get_clock().now().to_msg()
        self._health.publish(message)

    @staticmethod
    def _run_all(actions: list[Callable[[], object]]) -> None:
        while actions:
            actions.pop()()
