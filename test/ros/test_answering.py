# SPDX-License-Identifier: Apache-2.0
"""A queue of questions: each one ends once, whatever happens to it."""

import threading

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.ros.answering import Question, QuestionQueue

DEADLINE_S = 30.0


class Asker:
    """Asks a queue, and notes what becomes of its questions."""

    def __init__(self):
        self.ends = []
        self._one_more = threading.Semaphore(0)

    def question(self, find):
        return Question(find, self._note, self._note)

    def _note(self, end):
        self.ends.append(getattr(end, 'fault', None) or end)
        self._one_more.release()

    def wait(self, count=1):
        for _ in range(count):
            assert self._one_more.acquire(timeout=DEADLINE_S)
        return self.ends


@pytest.fixture
def questions():
    questions = QuestionQueue('test')
    yield questions
    assert questions.stop(DEADLINE_S)


class Gate:
    """An answerer that waits until it is let through."""

    def __init__(self):
        self._began, self._open = threading.Event(), threading.Event()

    def __call__(self):
        self._began.set()
        assert self._open.wait(DEADLINE_S)
        return 'late'

    def wait_begun(self):
        assert self._began.wait(DEADLINE_S)

    def open(self):
        self._open.set()


def test_questions_are_answered_in_turn(questions):
    asker = Asker()
    for number in range(5):
        questions.put(asker.question(lambda n=number: n), room=10)
    assert asker.wait(5) == [0, 1, 2, 3, 4]


def test_a_question_for_which_there_is_no_room_is_refused_at_once(questions):
    asker, gate = Asker(), Gate()
    questions.put(asker.question(gate), room=1)
    gate.wait_begun()
    questions.put(asker.question(lambda: 'second'), room=1)
    questions.put(asker.question(lambda: 'third'), room=1)
    assert asker.wait() == ['busy']
    gate.open()
    assert asker.wait(2) == ['busy', 'late', 'second']


def test_a_question_that_takes_too_long_is_given_up_once_and_its_answer_dropped(questions):
    asker, gate = Asker(), Gate()
    questions.put(asker.question(gate), room=4)
    gate.wait_begun()
    questions.put(asker.question(lambda: 'waiting'), room=4)
    questions.give_up(0.0)
    assert asker.wait(2) == ['timeout', 'timeout']
    assert questions.busy_s() > 0.0
    gate.open()
    questions.put(asker.question(lambda: 'next'), room=4)
    assert asker.wait() == ['timeout', 'timeout', 'next']


def test_young_questions_are_not_given_up(questions):
    asker, gate = Asker(), Gate()
    questions.put(asker.question(gate), room=4)
    questions.give_up(3600.0)
    gate.open()
    assert asker.wait() == ['late']


@pytest.mark.parametrize('raised', [InputError('stale', 'too old'), ZeroDivisionError()])
def test_a_failure_is_told_and_the_next_question_answered(questions, raised):
    asker = Asker()

    def fail():
        raise raised

    questions.put(asker.question(fail), room=4)
    questions.put(asker.question(lambda: 'next'), room=4)
    assert asker.wait(2) == [getattr(raised, 'fault', raised), 'next']


def test_a_library_that_exits_ends_no_thread(questions):
    asker = Asker()
    questions.put(asker.question(lambda: exit(1)), room=4)
    questions.put(asker.question(lambda: 'next'), room=4)
    assert asker.wait(2)[1] == 'next'


def test_questions_that_are_ended_are_told_why():
    gate, questions, told = Gate(), QuestionQueue('test'), []
    questions.put(Question(gate, told.append, told.append), room=4)
    gate.wait_begun()
    assert not questions.stop(0.0, 'another one answers now.')
    assert [str(error) for error in told] == ['another one answers now.']
    gate.open()
    assert questions.stop(DEADLINE_S)


def test_ending_refuses_what_waits_and_leaves_the_one_at_hand():
    asker, gate, questions = Asker(), Gate(), QuestionQueue('test')
    questions.put(asker.question(gate), room=4)
    gate.wait_begun()
    questions.put(asker.question(lambda: 'waiting'), room=4)
    assert not questions.stop(0.01)
    assert asker.wait(2) == ['stopped', 'stopped']
    gate.open()
    assert questions.stop(DEADLINE_S)
    assert len(asker.ends) == 2
