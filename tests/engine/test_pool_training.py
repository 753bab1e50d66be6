"""One run on several stores: its config, its curves, its description, and an exact resumption."""
import copy
import json
import shutil

import numpy as np
import pytest
import torch

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_checkpoint
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.hooks import NonFiniteHook
from mmskelssl.engine.rebuild import build_dataset
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.layouts.union import union_layout
from mmskelssl.models.backbones import SkeletonViT
from mmskelssl.shipped import find_config
from mmskelssl.visualization.curves import plot_curves, read_scalars, with_stores
from tests.conftest import StoreWriter, random_clip, write_tiny_store

TOY = find_config('simclr_toy')


def completed(options: dict, config: str = TOY, **more):
    return complete(load_config(config, {**options, **more})[-1][1])


def changed(options: dict, place: int, **values) -> dict:
    """Return options with other values in one of the stores."""
    stores = copy.deepcopy(options['data.stores'])
    stores[place].update(values)
    return {**options, 'data.stores': stores}


def test_the_config_is_completed(pool_options):
    cfg, spec = completed(pool_options)
    union = union_layout(map(get_layout, ('ntu25', 'kinect20')))
    preprocessor, backbone = cfg.model.data_preprocessor, cfg.model.backbone
    assert (preprocessor.type, preprocessor.layouts, preprocessor.num_persons) == (
        'PoolPreprocessor', ['ntu25', 'kinect20'], 2)
    assert get_layout(preprocessor.layout) == get_layout(backbone.layout) == union and backbone.masked is True
    first, second = cfg.data.stores
    assert (first.name, second.name) == ('tiny', 'kinect') and first.split == 'standard'
    assert first.pipeline[0].max_persons == 2 and second.pipeline[0].max_persons == 1
    assert cfg.train_dataloader.sampler == dict(type='PoolSampler')
    twice, again = complete(cfg)
    assert twice._cfg_dict == cfg._cfg_dict and again == spec and again.hash == spec.hash


def test_without_weights_each_clip_counts_alike(pool_options, tmp_path):
    small = write_tiny_store(tmp_path / 'small', 'kinect20', 1, samples=24)
    cfg, _ = completed(changed(pool_options, 1, store=small, weight=None), **{'data.stores.0.weight': None})
    assert [entry.weight for entry in cfg.data.stores] == [32, 16]


def test_stores_of_one_layout_need_no_union(pool_options, tiny_kinect_store):
    options = changed(pool_options, 0, store=tiny_kinect_store)
    cfg, _ = completed(options)
    preprocessor = cfg.model.data_preprocessor
    assert (preprocessor.type, preprocessor.layout) == ('SkeletonPreprocessor', 'kinect20')
    assert 'masked' not in cfg.model.backbone and preprocessor.num_persons == 2  # the first has up to two persons


def test_what_decides_the_result_is_in_the_hash(pool_options, tiny_store, tmp_path):
    _, spec = completed(pool_options)
    for options in (changed(pool_options, 0, weight=2), changed(pool_options, 0, held_out=2),
                    {**pool_options, 'data.stores': pool_options['data.stores'][::-1]}):
        assert completed(options)[1].hash != spec.hash
    with pytest.raises(UserError, match="has no split 'xview_train'"):
        completed(changed(pool_options, 1, split='xview'))
    shutil.copytree(tiny_store, tmp_path / 'elsewhere')
    moved = changed(pool_options, 0, store=str(tmp_path / 'elsewhere'), name='other', prepare='...')
    assert completed(moved)[1].hash == spec.hash  # the same clips under another name
    described = json.loads(spec.meta()['dataset'])
    assert [entry['about']['name'] for entry in described['stores']] == ['tiny', 'kinect']
    assert [entry['about']['layout'] for entry in described['stores']] == ['ntu25', 'kinect20']
    assert completed(changed(pool_options, 0, weight=2))[1].differences(spec.meta()) == [
        'data.stores.0.weight was 3 and is 2']


@pytest.mark.parametrize('options, message', [
    ({'data.store': 'data/toy'}, r"data has store = 'data/toy' and stores"),
    ({'data.pipeline': None}, 'data.pipeline is missing'),
    ({'data.stores': []}, r'data.stores is .*; it must be a list of dict'),
    ({'data.stores.1.store': None}, 'data.stores.1.store is None; it must be the folder'),
    ({'data.stores.1.store': 'data/nowhere'}, 'no store at data/nowhere; make it with'),
    ({'data.stores.1.weight': 0}, 'data.stores.1.weight is 0; it must be a finite number above 0'),
    ({'data.stores.0.weight': None}, 'data.stores.0.weight is missing: give every store a weight, or none'),
    ({'data.stores.1.name': 'a/b'}, "data.stores.1.name is 'a/b'"),
    ({'data.stores.1.name': 'tiny'}, "two stores have the name 'tiny'"),
    ({'data.stores.1.scores': True}, 'data.stores.1.scores differs from data.scores'),
    ({'data.stores.1.test_split': 'test'}, 'data.stores.1.test_split is not an argument'),
    ({'train_dataloader.sampler.shuffle': False}, 'with data.stores, the weights of the stores decide'),
    ({'model.backbone.layout': 'ntu25'}, r"has layout 'union25' .*expects 'ntu25'"),
    ({'default_hooks.knn.lineage': True}, 'lineage is for runs on one store'),
    ({'train_dataloader.batch_size': 44}, r'data.stores.0.weight: tiny has 32 training clips, but 33 of the 44')],
    ids=lambda value: '-'.join(value) if isinstance(value, dict) else '')
def test_mistakes_name_the_store_and_the_key(pool_options, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(TOY, str(tmp_path / 'run'), cfg_options={**pool_options, **options})


def test_a_misspelt_key_of_a_store(pool_options):
    with pytest.raises(UserError, match='data.stores.1.wieght: .* has no such argument; did you mean weight'):
        completed(changed(pool_options, 1, wieght=2))


def test_a_method_that_mixes_joints_is_refused(pool_options):
    options = {key: value for key, value in pool_options.items() if not key.startswith('model')}
    with pytest.raises(UserError, match='ActCLR mixes the joints of different clips, so all stores must have one'):
        completed(options, find_config('actclr_toy'))


def test_a_layout_of_two_kinds_under_one_name_is_refused(pool_options, tmp_path):
    layout = {**get_layout('ntu25').fields(), 'hip': 3}
    with StoreWriter(tmp_path / 'mine', layout) as writer:
        writer.add('a', random_clip(np.random.default_rng(0), get_layout(layout), 1, 9))
        writer.set_split('train', ['a'])
    with pytest.raises(UserError, match="kinect .*mine. has another layout of the name 'ntu25' than an earlier store"):
        completed(changed(pool_options, 1, store=str(tmp_path / 'mine')))


def test_the_curves_of_each_store(pool_run, tmp_path):
    curves = read_scalars(str(pool_run))['.']
    for store in ('tiny', 'kinect'):
        assert sorted(curves[f'val/{store}/knn_top1']) == [0, 4, 8]
        assert {f'val/{store}/{name}' for name in ('knn20_top1', 'feature_std', 'mean_cosine', 'effective_rank')} <= \
            set(curves)
    assert 'val/knn_top1' not in curves
    plot_curves(str(pool_run), str(tmp_path / 'curves.png'))
    assert (tmp_path / 'curves.png').stat().st_size
    assert with_stores(['val/knn_top1', 'loss'], curves) == [
        'val/knn_top1', 'val/tiny/knn_top1', 'val/kinect/knn_top1', 'loss']
    log, = pool_run.glob('*/*.log')
    text = log.read_text()
    for line in ('75 % of each batch from the 32 training clips of tiny (ntu25, 25 of the 25 joints)',
                 '25 % of each batch from the 32 training clips of kinect (kinect20, 20 of the 25 joints; missing: '
                 'neck, left_thumb_4, left_hand_tip, right_thumb_4, right_hand_tip)', '--near'):
        assert line in text


def test_resuming_is_exact_with_any_number_of_workers(pool_run, pool_options, tmp_path):
    """The second epoch alone, with two workers, ends as the whole run without any."""
    shutil.copytree(pool_run, tmp_path / 'run')
    (tmp_path / 'run/epoch_2.pth').unlink()
    last = train(TOY, str(tmp_path / 'run'), 'auto', cfg_options={**pool_options, 'train_dataloader.num_workers': 2})
    straight, resumed = load_checkpoint(pool_run / 'epoch_2.pth'), load_checkpoint(last)
    assert all(torch.equal(value, resumed['state_dict'][key]) for key, value in straight['state_dict'].items())
    with pytest.raises(UserError, match='data.stores.0.weight was 3 and is 2'):
        train(TOY, str(tmp_path / 'run'), 'auto', cfg_options=changed(pool_options, 0, weight=2))


def test_a_crafted_description_is_refused(pool_run, tmp_path):
    content = torch.load(pool_run / 'epoch_1.pth', weights_only=True)
    info = content['meta']['mmskelssl']
    dataset = json.loads(info['dataset'])
    first = dataset['stores'][0]
    for stores, message in ((3, 'stores of its data set are not a list'),
                            ([dict(first, about=dict(layout='ntu25', name='\n'))], 'no name'),
                            ([dict(first, pipeline=[])], 'how its clips were preprocessed'),
                            ([dict(first, about=dict(layout='x', name='a'))], 'unknown layout')):
        info['dataset'] = json.dumps({**dataset, 'stores': stores})
        torch.save(content, tmp_path / 'crafted.pth')
        with pytest.raises(UserError, match=message):
            build_from_checkpoint(tmp_path / 'crafted.pth')
    with pytest.raises(UserError, match="'PooledDataset' is not registered as a data set"):
        build_dataset({**first, 'type': 'PooledDataset'}, 'train', 'crafted.pth')


def test_a_bad_batch_is_kept_with_its_names(tmp_path):
    class Runner:
        iter, rank, work_dir = 4, 0, str(tmp_path)

        class train_dataloader:
            class dataset:
                @staticmethod
                def name_of(index):
                    return f'store/{index}'

    inputs = dict(ntu25=torch.zeros(2, 3, 4, 25, 1), kinect20=torch.zeros(1, 3, 4, 20, 1))
    inputs['kinect20'][0, 0, 0, 0] = torch.nan
    batch = dict(inputs=inputs, data_samples=dict(index=torch.tensor([5, 6, 9])))
    with pytest.raises(UserError, match='the clips of store/9 are not finite'):
        NonFiniteHook().after_train_iter(Runner, 0, batch, dict(loss=torch.tensor(torch.nan)))
    with np.load(tmp_path / 'non_finite_iter_5_rank0.npz') as saved:
        assert saved['inputs_kinect20'].shape == (1, 3, 4, 20, 1) and saved['ids'].tolist() == [
            'store/5', 'store/6', 'store/9']


def test_a_custom_layout_keeps_its_canonical_names(tmp_path):
    """A transformer finds its rows by them."""
    layout = dict(name='mine', joints=('root', 'up'), parents=(-1, 0), hip=0, shoulders=(0, 1),
                  canonical=('pelvis', 'head'))
    with StoreWriter(tmp_path / 'mine', layout) as writer:
        for i in range(4):
            writer.add(f'c{i}', torch.randn(1, 9, 2, 3).numpy())
        writer.set_split('train', [f'c{i}' for i in range(4)])
    options = {'data.store': str(tmp_path / 'mine'), 'model.backbone': dict(
        _delete_=True, type='SkeletonViT', size='tiny')}
    cfg, _ = completed(options)
    rows = SkeletonViT(cfg.model.backbone.layout).rows
    assert torch.equal(rows, SkeletonViT(SkeletonStore(tmp_path / 'mine').layout).rows)
    assert rows.shape[1] > 2
