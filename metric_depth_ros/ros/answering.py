# SPDX-License-Identifier: Apache-2.0
"""Questions answered one after the other in a thread, none of them left without a word.

Every question ends once: it is answered, refused as busy when too many wait, or given up when it
has taken too long. A model that is still at a question that was given up is left to it, and what
it says then is dropped. Standard library only; knows no ROS.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metric_depth_ros.errors import InputError


@dataclass(eq=False)
class Question:
    """Something to be answered.

    Parameters
    ----------
    find
        Returns the answer, or raises; called in the thread of the queue.
    tell
        Called with the answer.
    refuse
        Called with why there is none, an `InputError` or a defect.
    """

    find: Callable[[], Any]
    tell: Callable[[Any], None]
    refuse: Callable[[BaseException], None]
    asked_s: float = field(default_factory=time.monotonic)
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, found: Any) -> None:
        """Tell the answer, unless the question has ended."""
        if self._ends():
            try:
                self.tell(found)
            except Exception as error:
                self.refuse(error)

    def refused(self, error: BaseException) -> None:
        """Tell that there is no answer, unless the question has ended."""
        if self._ends():
            self.refuse(error)

    def _ends(self) -> bool:
        with self._lock:
            ended, self._ended = self._ended, True
        return not ended


class QuestionQueue:
    """Questions that wait for one answerer, and its thread.

    Parameters
    ----------
    name
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._waiting: deque[Question] = deque()
        self._current: Question | None = None
        self._began_s = 0.0
        self._closed = False
        self._changed = threading.Condition()
        # A daemon, so that an answer that takes minutes cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, question: Question, room: int) -> None:
        """Let a question wait for its answer, or refuse it as ``'busy'``.

        Parameters
        ----------
        question
            The question.
        room
            How many may wait.
        """
        with self._changed:
            full = len(self._waiting) >= room
            if not full:
                self._waiting.append(question)
                self._changed.notify()
        if full:
            error = InputError(
                'busy',
                f'{room} questions wait already: ask again later, or raise the parameter '
                'queue_size.',
            )
            question.refused(error)

    def give_up(self, timeout_s: float) -> None:
        """Refuse what was asked longer ago; to be called every now and then."""
        with self._changed:
            questions = [*self._waiting, *([self._current] if self._current else ())]
            now_s = time.monotonic()
            late = [q for q in questions if now_s - q.asked_s > timeout_s]
            self._waiting = deque(q for q in self._waiting if q not in late)
        error = InputError(
            'timeout', f'not answered within timeout_s = {timeout_s:g} s: it is given up.'
        )
        for question in late:
            question.refused(error)

    def busy_s(self) -> float:
        """Return how long the question at hand has taken, 0 for none."""
        with self._changed:
            return time.monotonic() - self._began_s if self._current else 0.0

    def stop(self, timeout_s: float, why: str = 'the node stops answering.') -> bool:
        """Refuse all questions and end; False if the one at hand takes longer.

        Parameters
        ----------
        timeout_s
            How long the one at hand is waited for.
        why
            What the questions are refused with.
        """
        with self._changed:
            self._closed = True
            questions = [*self._waiting, *([self._current] if self._current else ())]
            self._waiting.clear()
            self._changed.notify()
        error = InputError('stopped', why)
        for question in questions:
            question.refused(error)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (question := self._next()) is not None:
            try:
                question.answered(question.find())
            except BaseException as error:  # a library that calls sys.exit ends no thread of ours
                question.refused(error)
            with self._changed:
                self._current = None

    def _next(self) -> Question | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            self._current, self._began_s = self._waiting.popleft(), time.monotonic()
            return self._current
