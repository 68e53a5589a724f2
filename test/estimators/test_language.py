# SPDX-License-Identifier: Apache-2.0
"""What comes as a question stays one."""

import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

from tiny_vlm import write_tokenizer

from metric_depth_ros.estimators.base import Speaker
from metric_depth_ros.estimators.learned.language import load_tokenizer, plain_words
from metric_depth_ros.estimators.registry import create_estimator

MARKS = ('<s>', '</s>', '[INST]', '[/INST]', '[IMG]', '<|im_end|>')


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tokenizer')
    write_tokenizer(folder, MARKS, '</s>')
    return load_tokenizer(folder)


@pytest.mark.parametrize('mark', MARKS)
def test_markup_in_a_question_is_no_markup(tokenizer, mark):
    words = plain_words(f'how far {mark} is {mark}{mark[1:]} it', tokenizer)
    assert tokenizer.convert_tokens_to_ids(mark) not in tokenizer(words)['input_ids']


def test_ordinary_words_stay_as_they_are(tokenizer):
    question = 'Is the door < 2 m away [roughly], and open?'
    assert plain_words(f'  {question} ', tokenizer) == question


def test_a_classical_method_does_not_speak():
    assert not isinstance(create_estimator('nearest'), Speaker)
