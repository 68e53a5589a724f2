# SPDX-License-Identifier: Apache-2.0
"""The `query` node: callbacks queue questions, threads answer them, all are told.

Pixels that the depth node's estimates answer have a queue of their own, so that none of them waits
behind a language model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, PointStamped
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from metric_depth_ros.codecs.stamps import stamp_ns
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator, Speaker
from metric_depth_ros.geometry.rigid import Transform
from metric_depth_ros.ros.answering import Question, QuestionQueue
from metric_depth_ros.ros.assembly import Arrival
from metric_depth_ros.ros.dense_depth import DEPTH, decode_dense
from metric_depth_ros.ros.diagnostics import Problem, lasting_problem
from metric_depth_ros.ros.extrinsics import Transforms, create_transforms
from metric_depth_ros.ros.freshness import age_s, check_age
from metric_depth_ros.ros.managed_node import STOP_S, ManagedNode
from metric_depth_ros.ros.pixel_point import (
    Pixel,
    PixelPoint,
    in_frame,
    point_of_dense,
    point_of_estimator,
)
from metric_depth_ros.ros.qos import subscribe
from metric_depth_ros.ros.query_inputs import QueryInputs
from metric_depth_ros.ros.query_models import QueryModels, models_from
from metric_depth_ros.ros.query_outputs import QueryOutputs
from metric_depth_ros.ros.query_parameters import DENSE, QUERY_NODE, QueryNodeSettings
from metric_depth_ros.ros.silence import silent_after_s
from metric_depth_ros.ros.static_tree import StaticTree
from metric_depth_ros.types import Frame

PIXEL, QUESTION = 'pixel', '~/question'
# rqt_image_view publishes clicks beside the image that it shows.
CLICKS = ('image_mouse_left', 'depth/image_color_mouse_left')

_LOOK_S = 0.2  # how often questions that take too long are looked for
_MOST_LETTERS = 4000
_QUEUE = 10


class QueryNode(ManagedNode[QueryNodeSettings]):
    """Answers about pixels, and in words."""

    def __init__(self) -> None:
        super().__init__('query', QUERY_NODE, 'answers')
        self._models = QueryModels(None, None)
        self._next_models: QueryModels | None = None
        self._models_are_busy = False  # with a question that was abandoned
        self._ends: list[Callable[[], object]] = []  # of what activation has begun
        self._queues: dict[str, QuestionQueue] = {}
        self._inputs: QueryInputs | None = None
        self._next_inputs: QueryInputs | None = None

    def _configure(self) -> None:
        settings = self._settings
        self._models, self._models_are_busy = models_from(settings), False
        self._releases.append(self._forget_models)
        self._extrinsics: Transforms = (
            create_transforms(settings.extrinsics, self)
            if settings.target_frame
            else StaticTree({}, 'nothing')
        )
        self._releases.append(self._extrinsics.close)
        self._outputs = QueryOutputs(self, self._faults)
        self._releases.append(self._outputs.close)
        self.get_logger().info(f'configured: {self._words_of_models()}')

    def _forget_models(self) -> None:
        self._drop_next()
        self._models = QueryModels(None, None)

    def _words_of_models(self) -> str:
        pixels = self._settings.estimator
        speaker = (self._settings.language_model or pixels) if self._models.speaker else 'nothing'
        return f'pixels are answered by {pixels}, questions in words by {speaker}'

    def _activate(self) -> None:
        if self._models_are_busy:
            self._models, self._models_are_busy = models_from(self._settings), False
        self._queues = {
            'pixels': QuestionQueue('query-pixels'),
            'model': QuestionQueue('query-model'),
        }
        self._inputs = self._open_inputs(self._settings, self._models)
        self._listen(PointStamped, PIXEL, self._on_pixel)
        for topic in CLICKS:
            self._listen(Point, topic, partial(self._on_click, topic))
        self._listen(String, QUESTION, self._on_question)
        timer = self.create_timer(
            _LOOK_S, self._give_up_late, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._ends.append(lambda: self.destroy_timer(timer))
        self.get_logger().info(f'active: {", ".join((PIXEL, *CLICKS, QUESTION))} are answered')

    def _listen(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        subscription = subscribe(
            self, kind, topic, callback, QoSProfile(depth=_QUEUE), self._faults.report
        )
        self._ends.append(lambda: self.destroy_subscription(subscription))

    def _open_inputs(self, settings: QueryNodeSettings, models: QueryModels) -> QueryInputs:
        inputs = QueryInputs(self, settings, models, self._faults, self._extrinsics.clear)
        inputs.open()
        return inputs

    def _deactivate(self) -> None:
        while self._ends:
            self._ends.pop()()
        self._drop_next()
        if self._inputs is not None:
            self._inputs.close()
        self._inputs = None
        ends_s = time.monotonic() + STOP_S
        for name, queue in self._queues.items():
            if not queue.stop(max(0.0, ends_s - time.monotonic())):
                self.get_logger().warning('a question is still being answered; it is abandoned')
                self._models_are_busy |= name == 'model'
        self._queues = {}

    def _prepare(self, settings: QueryNodeSettings) -> None:
        """Load what changed parameters ask for, and subscribe to what that sees.

        Raises
        ------
        InputError
            One of the two cannot be: all stays as it is.
        """
        self._drop_next()
        models = models_from(settings)
        if self._inputs is not None:
            self._next_inputs = self._open_inputs(settings, models)
        # The last thing: what subscribing declares takes what is ready into force.
        self._next_models = models

    def _drop_next(self) -> None:
        """Give up what was made ready and never taken."""
        if self._next_inputs is not None:
            self._next_inputs.close()
        self._next_models = self._next_inputs = None

    def _apply(self) -> None:
        if self._next_models is None:
            return
        self._models, self._next_models = self._next_models, None
        self._models_are_busy = False
        self.get_logger().info(f'changed: {self._words_of_models()}')
        if self._inputs is not None:
            # One of its own: the thread of the other may be in a model that never comes back.
            self._queues['model'].stop(0.0, 'the model was replaced meanwhile: ask again.')
            self._queues['model'] = QuestionQueue('query-model')
            self._inputs.close()
            self._inputs, self._next_inputs = self._next_inputs, None

    def _on_pixel(self, message: PointStamped) -> None:
        stamp = stamp_ns(message.header.stamp) if self._settings.match_stamp else 0
        self._locate(PIXEL, (message.point.x, message.point.y), stamp)

    def _on_click(self, topic: str, message: Point) -> None:
        self._locate(topic, (message.x, message.y), 0)

    def _locate(self, topic: str, pixel: Pixel, stamp: int) -> None:
        """Have a pixel answered: of the estimate or the image of this moment."""
        estimator = self._models.estimator
        asked = {'pixel': f'{pixel[0]:g} {pixel[1]:g}'}
        if estimator is None:
            take = partial(self._find_in_dense, pixel, stamp)
        else:
            take = partial(self._find_in_image, estimator, pixel)
        queue = 'pixels' if estimator is None else 'model'
        self._ask(topic, queue, take, self._outputs.tell_point, asked)

    def _on_question(self, message: String) -> None:
        words = message.data.strip()
        take = partial(self._find_words, words)
        asked = {'question': words[:_MOST_LETTERS]}
        self._ask(QUESTION, 'model', take, self._outputs.tell_words, asked)

    def _ask(
        self,
        topic: str,
        queue: str,
        take: Callable[[], Callable[[], Any]],
        tell: Callable[[Any, Mapping[str, object]], None],
        asked: Mapping[str, object],
    ) -> None:
        """Put a question into a queue.

        Parameters
        ----------
        topic
            That it came by.
        queue
            Where it waits.
        take
            Takes what it is about as that is now, and returns what finds the answer.
        tell
            Publishes the answer.
        asked
            What was asked, for the status.
        """
        self._outputs.tally.count('asked')
        began_s = time.monotonic()

        def values() -> dict[str, object]:
            return {'topic': topic, **asked, 'answer_ms': 1e3 * (time.monotonic() - began_s)}

        def refuse(error: BaseException) -> None:
            self._outputs.refuse(topic, error, values(), in_words=topic == QUESTION)

        try:
            find = take()
        except InputError as error:
            refuse(error)
            return
        question = Question(find, lambda found: tell(found, values()), refuse)
        self._queues[queue].put(question, self._settings.queue_size)

    def _find_in_dense(self, pixel: Pixel, stamp: int) -> Callable[[], PixelPoint]:
        assert self._inputs is not None
        history = self._inputs.history
        if stamp:
            kept = history.nearest(stamp, self._settings.max_stamp_difference_s)
        else:
            kept = history.newest()
            self._check_age('depth estimate', kept.stamp_ns, kept.arrived_s)
        way = self._way_to_target(kept.messages[DEPTH].header.frame_id, kept.stamp_ns)

        def find() -> PixelPoint:
            transform = way()
            dense = decode_dense(kept.stamp_ns, kept.messages)
            found = point_of_dense(dense, pixel, self._settings.uncertainty, DENSE)
            return self._in_target_frame(found, transform)

        return find

    def _find_in_image(self, estimator: Estimator, pixel: Pixel) -> Callable[[], PixelPoint]:
        image, see = self._seen(camera_needed=not estimator.recovers_camera)
        way = self._way_to_target(image.message.header.frame_id, image.stamp_ns)

        def find() -> PixelPoint:
            transform = way()
            found = point_of_estimator(estimator, see(), pixel, self._settings.uncertainty)
            return self._in_target_frame(found, transform)

        return find

    def _find_words(self, words: str) -> Callable[[], str]:
        speaker = self._models.speaker
        if speaker is None:
            raise InputError(
                'language_model_missing',
                'no language model is loaded: set the parameter language_model (or estimator) to '
                'depthvlm, depthvlm_8b or depthlm.',
            )
        if not 0 < len(words) <= _MOST_LETTERS:
            raise InputError(
                'question_length',
                f'the question has {len(words)} letters, expected 1 to {_MOST_LETTERS}.',
            )
        _, see = self._seen(camera_needed=True)

        def find(speaker: Speaker = speaker) -> str:
            return speaker.answer(see(), words, self._settings.answer_tokens)

        return find

    def _seen(self, *, camera_needed: bool) -> tuple[Arrival, Callable[[], Frame]]:
        """Take the newest image; return it, and what decodes it."""
        assert self._inputs is not None
        image = self._inputs.image
        bundle = image.take()
        self._check_age('image', bundle.image.stamp_ns, bundle.image.arrived_s)
        return bundle.image, partial(image.frame, bundle, camera_needed=camera_needed)

    def _check_age(self, what: str, stamp: int, arrived_s: float) -> None:
        now_ns = self.get_clock().now().nanoseconds
        check_age(what, age_s(stamp, arrived_s, now_ns), self._settings.max_age_s)

    def _way_to_target(self, frame_id: str, stamp: int) -> Callable[[], Transform | None]:
        """Return what gives the transform to target_frame; the queue calls it before it answers.

        It is looked up now where it is known: until a slow model has answered, tf2 may have
        forgotten it.
        """
        target = self._settings.target_frame
        if not target:
            return lambda: None
        look_up = partial(self._extrinsics.lookup_at, target, frame_id, stamp)
        try:
            known = look_up(wait=False)
        except InputError:  # it may be about to arrive
            return look_up
        return lambda: known

    def _in_target_frame(self, found: PixelPoint, transform: Transform | None) -> PixelPoint:
        if transform is None:
            return found
        return in_frame(found, transform, self._settings.target_frame)

    def _give_up_late(self) -> None:
        if self._settings.timeout_s:
            for queue in self._queues.values():
                queue.give_up(self._settings.timeout_s)

    def _health(self) -> list[DiagnosticStatus]:
        name = self.get_fully_qualified_name()
        values: dict[str, object] = {
            **self._outputs.tally.counts(),
            'estimator': self._settings.estimator,
        }
        return [self._health_of(name, 'ready', values)]

    def _problems(self) -> list[Problem]:
        assert self._inputs is not None
        problems = lasting_problem(self._extrinsics.problem)
        problems += self._inputs.problems(silent_after_s(self._settings.diagnostics.period_s))
        busy_s, timeout_s = self._queues['model'].busy_s(), self._settings.timeout_s
        if timeout_s and busy_s > timeout_s:
            problems.append(
                (DiagnosticStatus.ERROR, f'A model has not answered for {busy_s:.0f} s.')
            )
        return problems
