"""Changed recipes: parsed strictly, named canonically, and never taken for the plain ones."""
from dataclasses import replace

import numpy as np
import pytest

from mmskelssl.commands.measure import choose_recipes
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features
from mmskelssl.evaluation.protocols import PROTOCOLS, evaluate
from mmskelssl.evaluation.recipe_names import canonical, settings_text
from mmskelssl.evaluation.recipes import FINETUNE, KNN, LINEAR, SGDRecipe
from mmskelssl.evaluation.results import identity


def test_changes_are_applied():
    changed = LINEAR['paper-actclr:epochs=150, steps=80/120']
    assert changed == replace(LINEAR['paper-actclr'], epochs=150, steps=(80, 120))
    assert FINETUNE['small:nesterov=TRUE,optimizer=sgd,steps=3,head_lr=none'] == replace(
        FINETUNE['small'], nesterov=True, optimizer='sgd', steps=(3,), head_lr=None)
    assert LINEAR['paper:steps=()'].steps == () and 'paper:lr=1' in LINEAR and 'papr:lr=1' not in LINEAR


@pytest.mark.parametrize('name, expected', [
    ('paper-actclr:steps=80/120,epochs=150', 'paper-actclr:epochs=150,steps=80/120'),  # in the order of the fields
    ('paper-actclr:lr=24.0,batch_size=1024', 'paper-actclr'),  # changes nothing
    ('paper:lr=1e-5', 'paper:lr=1e-05'), ('paper:steps=()', 'paper:steps=()'), ('logreg:C=1', 'logreg:C=1'),
    ('paper-actclr:init_std=none,drop_last=false', 'paper-actclr:init_std=none,drop_last=false')])
def test_canonical_names(name, expected):
    assert canonical(LINEAR, name) == expected == canonical(LINEAR, expected)
    assert LINEAR[name] == LINEAR[expected]


@pytest.mark.parametrize('recipes, name, message', [
    (LINEAR, 'paper:epoch=3', r"'epoch=3' is not FIELD=VALUE; the fields are lr \(number\), batch_size \(integer\)"),
    (LINEAR, 'paper:', r"'' is not FIELD=VALUE"), (LINEAR, 'paper:lr', 'is not FIELD=VALUE'),
    (LINEAR, 'paper:epochs=2.5', r"epochs is '2.5', not integer; the fields are .*nesterov \(true or false\)"),
    (LINEAR, 'paper:lr=nan', "lr is 'nan', not number"), (LINEAR, 'paper:nesterov=1', 'not true or false'),
    (LINEAR, 'paper:steps=a/b', 'not integers with / between'), (LINEAR, 'paper:lr=1,lr=2', 'lr is given twice'),
    (LINEAR, 'paper:epochs=0', 'epochs is 0; it must be positive'), (LINEAR, 'paper:lr=-1', 'must be positive'),
    (LINEAR, 'paper:momentum=-1', 'must not be negative'), (LINEAR, 'paper:steps=9/3', 'they must increase'),
    (LINEAR, 'paper:momentum=0,nesterov=true', 'nesterov needs momentum'),
    (FINETUNE, 'small:gamma=.5', 'gamma has no effect without steps'),
    (FINETUNE, 'small:nesterov=true', 'no effect with optimizer=adamw'),
    (FINETUNE, 'small:optimizer=lion', 'must be sgd or adamw'), (KNN, '20nn:k=3', 'has no settings to change'),
    (LINEAR, 'papr:lr=1', "unknown linear recipe 'papr': did you mean paper")])
def test_mistakes_are_one_line(recipes, name, message):
    with pytest.raises(UserError, match=message) as error:
        canonical(recipes, name)
    assert '\n' not in str(error.value)


def test_a_recipe_cannot_be_impossible_or_have_a_colon():
    with pytest.raises(UserError, match='batch_size is 0; it must be positive'):
        SGDRecipe(lr=1, batch_size=0)
    with pytest.raises(UserError, match='must not contain a colon'):
        LINEAR.register('mine:2', SGDRecipe(lr=1, batch_size=8))


def test_the_command_applies_changes_to_every_protocol_that_has_the_recipe():
    chosen = choose_recipes(['knn', 'linear', 'finetune'], ['paper-actclr:steps=4,epochs=9', 'paper-actclr'])
    assert chosen == {protocol: ['paper-actclr:epochs=9,steps=4', 'paper-actclr']
                      for protocol in ('linear', 'finetune')}
    with pytest.raises(UserError, match="'init_std=1' is not FIELD=VALUE; the fields are lr .* head_std"):
        choose_recipes(['linear', 'finetune'], ['paper-actclr:init_std=1'])
    with pytest.raises(UserError, match="unknown recipe 'papr'"):
        choose_recipes(['linear'], ['papr:lr=1'])
    assert choose_recipes(['linear'], ['paper', 'paper:lr=3']) == dict(linear=['paper'])


def test_a_changed_recipe_never_passes_as_the_plain_one():
    rng = np.random.default_rng(0)
    parts = [Features(rng.normal(size=(12, 3)).astype('f4'), np.arange(12) % 2, [f'{part}{i}' for i in range(12)])
             for part in 'ab']
    rows = evaluate(*parts, 'linear', ['paper', 'paper:epochs=2,steps=1'])
    assert [row['recipe'] for row in rows] == ['paper', 'paper:epochs=2,steps=1']
    assert rows[1]['settings'].startswith('lr=3,batch_size=128,epochs=2,steps=1,gamma=0.1,')
    assert identity(rows[0]) != identity(rows[1]) and rows[0]['settings'] == settings_text(LINEAR['paper'])
    earlier = {**rows[0], 'settings': 'lr=2'}  # a plug-in's recipe that has changed under its name
    assert identity(earlier) != identity(rows[0])


def test_every_recipe_has_settings():
    for protocol in PROTOCOLS.values():
        for recipe in protocol.RECIPES.values():
            assert settings_text(recipe) and 'object at' not in settings_text(recipe)
