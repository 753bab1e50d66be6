"""examples/plugin, found through custom_imports alone: trained and measured by the tools in separate processes."""
import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tool_calls import run as run_tool

from mmskelssl.datasets import SkeletonDataset, SkeletonStore
from mmskelssl.datasets.toy.store import write_toy_store
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS, DATASETS, TRANSFORMS
from tools import evaluate as evaluate_tool

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / 'examples' / 'plugin'
MIN_FRAMES = 40


@pytest.fixture(scope='module')
def tool(warm_python):
    """Function that runs a tool from the root, with nothing on PYTHONPATH."""
    env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    return lambda name, *args: subprocess.run(
        [warm_python / 'python', f'tools/{name}.py', *map(str, args)], cwd=ROOT, capture_output=True, text=True,
        env={**env, 'OMP_NUM_THREADS': '1'}, timeout=900)


@pytest.fixture(scope='module')
def run(tool, tmp_path_factory):
    """Folder with a store, and a work_dir of one epoch on it."""
    place = tmp_path_factory.mktemp('plugin')
    write_toy_store(place / 'toy', num_samples=96, seed=1, subjects=4)
    done = tool('train', 'examples/plugin/alignuniform_toy.py', '--work-dir', place / 'work', '--cfg-options',
                f'data.store={place}/toy', f'data.min_frames={MIN_FRAMES}', 'train_cfg.max_epochs=1',
                'train_dataloader.batch_size=8', 'model.backbone.channels=(8,8,16,16)')
    assert done.returncode == 0, done.stderr[-3000:]
    return place


def long_clips(store, split):
    return sum(store.samples[i]['frames'] >= MIN_FRAMES for i in store.split(split))


@pytest.mark.slow
def test_hook_data_set_and_transform_have_acted(run):
    store = SkeletonStore(run / 'toy')
    lines = [json.loads(line) for line in next((run / 'work').rglob('scalars.json')).open()]
    norms = [line for line in lines if 'backbone_norm' in line]
    assert len(norms) == 1 and norms[0]['backbone_norm'] > 0
    kept = long_clips(store, 'train')
    assert kept < len(store.split('train')) and norms[0]['step'] == kept // 8
    smooth, = (np.load(path) for path in (run / 'toy' / 'cache').glob('*[!s].npy'))
    pipeline = [step for step in load_config(str(PLUGIN / 'alignuniform_toy.py'))[0][1].data.pipeline
                if step['type'] != 'SmoothFrames']
    rough = SkeletonDataset(run / 'toy', 'train', pipeline, cache_dir=str(run / 'other')).clips

    def shaking(clips):
        return np.abs(np.diff(clips, 2, axis=2)).mean()
    assert smooth.shape == rough.shape and shaking(smooth) < .9 * shaking(rough)


@pytest.mark.slow
def test_its_checkpoint_is_evaluated_with_its_data_set(run, tool):
    checkpoint, results = run / 'work' / 'epoch_1.pth', run / 'eval' / 'results.json'
    done = tool('evaluate', 'knn', checkpoint, '--imports', 'examples/plugin/skelplug', '--out', run / 'eval')
    assert done.returncode == 0, done.stderr[-3000:]
    row = next(row for row in json.loads(results.read_text())['results'] if row['split'] == 'test')
    assert row['encoder'] == 'AlignUniform' and row['num_test'] == long_clips(SkeletonStore(run / 'toy'), 'test')


@pytest.mark.slow
def test_a_checkpoint_that_names_no_data_set_class_is_evaluated(run, monkeypatch):
    """This was the case for all checkpoints before the class could be chosen."""
    checkpoint = torch.load(run / 'work' / 'epoch_1.pth', weights_only=True)
    info = checkpoint['meta']['mmskelssl']
    dataset = json.loads(info['dataset'])
    assert dataset.pop('type') == 'LongClips' and dataset.pop('min_frames') == MIN_FRAMES
    old = copy.copy(checkpoint)
    old['meta'] = {**checkpoint['meta'], 'mmskelssl': {**info, 'dataset': json.dumps(dataset)}}
    torch.save(old, run / 'old.pth')
    run_tool(monkeypatch, evaluate_tool, 'knn', run / 'old.pth', '--imports', PLUGIN / 'skelplug', '--out', run / 'old')
    row = next(row for row in json.loads((run / 'old' / 'results.json').read_text())['results']
               if row['split'] == 'test')
    assert row['num_test'] == len(SkeletonStore(run / 'toy').split('test'))


@pytest.mark.slow
def test_without_the_plug_in_its_checkpoint_is_refused(run, tool):
    done = tool('evaluate', 'knn', run / 'work' / 'epoch_1.pth')
    error, = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "'AlignUniform' is not registered" in error and '--imports' in error


@pytest.mark.slow
def test_parts(run):
    import_plugins([str(PLUGIN / 'skelplug')])
    smooth = TRANSFORMS.build(dict(type='SmoothFrames', width=3))
    track = np.array([0., 3., 0., 0., 6.], np.float32).reshape(1, 5, 1, 1)
    assert smooth(dict(keypoint=track))['keypoint'].ravel().tolist() == pytest.approx([1.5, 1, 1, 2, 3])

    drop = BATCH_AUGMENTS.build(dict(type='PartDrop', p=1.0, layout='ntu25'))
    clips = torch.ones(2, 3, 4, 25, 2)
    gone = [list(joints) for joints in drop.layout.parts.values()]
    made = drop.apply(clips, part=torch.tensor([0, 1]))
    for i in (0, 1):
        assert (made[i, :, :, gone[i]] == 0).all() and made[i].sum() == 3 * 4 * 2 * (25 - len(gone[i]))

    config = dict(type='LongClips', store=str(run / 'toy'), split='train', min_frames=MIN_FRAMES,
                  pipeline=[dict(type='SelectPersons'), dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')])
    dataset = DATASETS.build(config)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.ids == dataset.ids and len(pickle.dumps(dataset)) < 20_000
    with pytest.raises(UserError, match='lower data.min_frames'):
        DATASETS.build({**config, 'min_frames': 10 ** 6})


def test_the_transform_runs_per_batch(tiny_store, tmp_path):
    import_plugins([str(PLUGIN / 'skelplug')])
    pipeline = [dict(type='SmoothFrames', width=5), dict(type='SelectPersons'), dict(type='PadFrames', frames=30),
                dict(type='PackSkeleton')]
    clips = [SkeletonDataset(tiny_store, 'train', pipeline, str(tmp_path / 'c'), preprocess=how).__getitems__([0, 3, 7])
             for how in ('cache', 'batch')]
    torch.testing.assert_close(*clips, rtol=1e-6, atol=1e-6)


def test_uniformity_against_a_loop():
    import_plugins([str(PLUGIN / 'skelplug')])
    from skelplug.align_uniform import uniformity
    z = torch.nn.functional.normalize(
        torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=1)
    potentials = [np.exp(-2 * float((z[i] - z[j]).square().sum())) for i in range(5) for j in range(i)]
    assert float(uniformity(z)) == pytest.approx(np.log(np.mean(potentials)), rel=1e-12)
    assert float(uniformity(z[:1])) == 0


def test_an_edited_transform_is_run_again(tiny_store, tmp_path):
    """Its code is part of the cache's key."""
    source, pipeline = tmp_path / 'shifting.py', [
        dict(type='SelectPersons'), dict(type='ResizeFrames', frames=8), dict(type='Shift'), dict(type='PackSkeleton')]
    seen = []
    for shift in (1, 20):
        source.write_text('from mmcv.transforms import BaseTransform\nfrom mmskelssl.registry import TRANSFORMS\n'
                          '@TRANSFORMS.register_module(force=True)\nclass Shift(BaseTransform):\n'
                          f'    def transform(self, r):\n        return dict(r, keypoint=r["keypoint"] + {shift})\n')
        sys.modules.pop('shifting', None)
        import_plugins([str(source)])
        seen.append(float(SkeletonDataset(tiny_store, 'train', pipeline, cache_dir=str(tmp_path / 'c')).clips.mean()))
    TRANSFORMS.module_dict.pop('Shift')
    assert seen[1] - seen[0] == pytest.approx(19, abs=1e-3)


def config_beside(tmp_path, imports, **data):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{ROOT}/configs/simclr_toy.py'\ncustom_imports = dict(imports=['{imports}'])\n"
                    f'data = dict(**{data})\n')
    return str(path)


def test_a_module_beside_the_config_is_found(tmp_path):
    (tmp_path / 'beside_me.py').write_text('HERE = True\n')
    load_config(config_beside(tmp_path, 'beside_me'))
    assert sys.modules.pop('beside_me').HERE


def test_a_module_that_is_nowhere(tmp_path):
    with pytest.raises(UserError, match=r"custom_imports: No module named 'no_such_plugin'; a module must be in"):
        load_config(config_beside(tmp_path, 'no_such_plugin'))
    with pytest.raises(UserError, match='cannot import no_such_plugin'):
        import_plugins(['no_such_plugin'])
    (tmp_path / 'json.py').write_text('')
    with pytest.raises(UserError, match="another module is called 'json'"):
        import_plugins([str(tmp_path / 'json.py')])


def test_what_follows_from_the_store_is_no_argument(tiny_store, tmp_path):
    (tmp_path / 'beside_me_too.py').write_text('')
    cfg = load_config(config_beside(tmp_path, 'beside_me_too', store=tiny_store, about={}))[0][1]
    with pytest.raises(UserError, match='data.about is not an argument'):
        complete(cfg, 0)
