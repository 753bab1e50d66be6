"""A plug-in adds an importer, a recipe and a protocol. Published recipes do not change."""
import json
import shutil

import pytest

from mmskelssl import cli
from mmskelssl.catalogue import Catalogue
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.recipes import LINEAR, LogRegRecipe

IMPORTER = '''
from typing import Annotated
import numpy as np
from mmskelssl.datasets.importers import IMPORTERS

@IMPORTERS.register('waves')
def import_waves(path, writer, *, count: Annotated[int, 'Clips to make'] = 3):
    """Import procedural waves to the split train."""
    writer.describe('kinect20')
    for i in range(count):
        writer.add(f'wave{i}', np.random.default_rng(i).normal(size=(1, 9, 20, 3)))
    writer.set_split('train', [f'wave{i}' for i in range(count)])
'''
MEASURES = '''
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.protocols.base import Outcome, all_queries, split_scores
from mmskelssl.evaluation.recipes import KNN, LINEAR, LogRegRecipe
from mmskelssl.catalogue import Catalogue
import numpy as np

LINEAR.register('weak', LogRegRecipe(C=1e-3))
KNN.register('3nn', 3)

class Centre:
    """Classify by the nearest class mean."""
    RECIPES, DEFAULTS = Catalogue('centre recipe', {'plain': None}), ('plain',)

    @staticmethod
    def run(task, recipes):
        for name in recipes:
            means = np.stack([task.train.feats[task.train.labels == c].mean(0) for c in range(task.classes)])
            distance = np.linalg.norm(all_queries(task)[:, None] - means, axis=2)
            yield Outcome(name, split_scores(task, -distance))

PROTOCOLS.register('centre', Centre)
'''


@pytest.fixture(autouse=True)
def restored():
    """Remove the names of the plug-in after each test."""
    from mmskelssl.evaluation.recipes import KNN
    before = [(catalogue, dict(catalogue)) for catalogue in (IMPORTERS, PROTOCOLS, LINEAR, KNN)]
    yield
    for catalogue, entries in before:
        catalogue._entries.clear()
        catalogue._entries.update(entries)


@pytest.fixture(scope='module')
def checkpoint(tiny_store, tmp_path_factory):
    return train('configs/simclr_toy.py', str(tmp_path_factory.mktemp('encoder')), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8,
        'model.backbone.channels': (8, 8, 16, 16)})


def fails(capsys, *arguments):
    with pytest.raises(SystemExit):
        cli.main([*map(str, arguments)])
    return capsys.readouterr().err


@pytest.mark.parametrize('before', [True, False])
def test_an_importer(before, tmp_path, capsys):
    (tmp_path / f'waves_{before}.py').write_text(IMPORTER)
    plugin, command = ['--imports', tmp_path / f'waves_{before}.py'], ['waves', 'nowhere', '--out', tmp_path / 'out']
    assert 'invalid choice' in fails(capsys, 'prepare', *command)
    cli.main([*map(str, ('prepare', *(plugin if before else ()), *command, '--count', 2, *(() if before else plugin)))])
    assert 'imported 2' in capsys.readouterr().out and len(SkeletonStore(tmp_path / 'out')) == 2
    with pytest.raises(SystemExit):
        cli.main([*map(str, ('prepare', *plugin, '--help'))])
    assert 'Import procedural waves to the split train.' in capsys.readouterr().out


def test_a_recipe_and_a_protocol(checkpoint, tmp_path, capsys):
    (tmp_path / 'measures.py').write_text(MEASURES)
    out, plugin = tmp_path / 'out', ['--imports', tmp_path / 'measures.py']
    assert "unknown protocol 'centre'" in fails(capsys, 'evaluate', 'centre', checkpoint)
    assert "unknown recipe 'weak'" in fails(capsys, 'evaluate', 'linear', checkpoint, '--recipe', 'weak')
    assert 'did you mean logreg' in fails(capsys, 'evaluate', 'linear', checkpoint, '--recipe', 'logregg')
    assert not out.exists()
    cli.main([*map(str, ('evaluate', 'all', checkpoint, '--recipe', 'weak', '3nn', 'logreg', 'plain', '--out', out,
                         '--no-pictures', *plugin))])
    rows = json.loads((out / 'results.json').read_text())['results']
    assert [(row['protocol'], row['recipe']) for row in rows] == [
        ('knn', '3nn'), ('linear', 'weak'), ('linear', 'logreg'), ('centre', 'plain')]
    assert 'linear weak: LogRegRecipe(C=0.001' in capsys.readouterr().out


def test_protocols_without_scores_are_not_joined(checkpoint, tmp_path, capsys):
    other = shutil.copy(checkpoint, tmp_path)
    message = fails(capsys, 'evaluate', 'ensemble', checkpoint, other, '--of', 'retrieval')
    assert message == 'error: --of retrieval: its scores cannot be fused\n'


def test_published_recipes_stay():
    with pytest.raises(UserError, match="the linear recipe 'logreg' exists already"):
        LINEAR.register('logreg', LogRegRecipe(C=1))
    with pytest.raises(TypeError):
        LINEAR['logreg'] = LogRegRecipe(C=1)
    with pytest.raises(AttributeError):
        LINEAR['logreg'].C = 1
    assert all(isinstance(protocol.RECIPES, Catalogue) for protocol in PROTOCOLS.values())


def test_an_importer_may_not_hide_a_command(tmp_path, capsys):
    (tmp_path / 'hides.py').write_text(IMPORTER.replace("'waves'", "'verify'"))
    assert "an importer has the name 'verify'" in fails(capsys, 'prepare', '--imports', tmp_path / 'hides.py', '--help')
