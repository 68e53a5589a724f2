# SPDX-License-Identifier: Apache-2.0
"""docs/TRAINING_OPTIONS.md says what configurations take; docs/TRAINING.md names those shipped."""

from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from metric_depth_ros.training import option_document
from metric_depth_ros.training.config import RECIPES
from metric_depth_ros.training.option_document import KEYS, RecipeKeys, markdown
from metric_depth_ros.training.recipes import create_recipe
from metric_depth_ros.training.recipes.radar import FARTHEST_M

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = sorted((ROOT / 'config/training').glob('*.yaml'))


def names_of(kind):
    return {item.name for item in fields(kind)}


def test_the_option_document_is_what_the_dataclasses_say():
    assert (ROOT / 'docs/TRAINING_OPTIONS.md').read_text('utf-8') == markdown(), (
        'regenerate: python -m metric_depth_ros.training.option_document docs/TRAINING_OPTIONS.md'
    )


def test_every_recipe_is_documented():
    assert KEYS.keys() == set(RECIPES)


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_takes_the_keys_that_are_documented(name):
    keys = KEYS['teacher' if name == 'radar' else name]
    recipe = create_recipe(name, {}, {}, 'test')
    assert recipe.plain_options.keys() == names_of(keys.options)
    if keys.network is not None:
        assert recipe.model_config().keys() == names_of(keys.network)


def test_radar_is_the_teacher_but_for_what_its_note_says():
    teacher, radar = (create_recipe(name, {}, {}, 'test') for name in ('teacher', 'radar'))
    changed = {'prompts': 'radar', 'farthest_m': FARTHEST_M}
    assert radar.plain_options == teacher.plain_options | changed
    assert all(f'`options.{name}`' in KEYS['radar'].note for name in changed)


def test_a_key_that_nothing_describes_is_refused(monkeypatch):
    @dataclass
    class Silent:
        """Says nothing of its key."""

        loud: bool = False

    monkeypatch.setattr(option_document, 'KEYS', {'silent': RecipeKeys(None, Silent)})
    with pytest.raises(ValueError, match='Silent does not describe loud'):
        markdown()


@pytest.mark.parametrize('path', CONFIGURATIONS, ids=lambda path: path.stem)
def test_the_guide_names_every_shipped_configuration(path):
    assert f'`{path.stem}`' in (ROOT / 'docs/TRAINING.md').read_text('utf-8')
