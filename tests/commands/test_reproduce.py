"""The tables of the papers as one command, on toy stores of the data sets' shapes."""
import copy
import functools
import json
import os.path as osp
import re
from pathlib import Path

import numpy as np
import pytest

from mmskelssl import cli
from mmskelssl.commands import benchmark_runs, reproduce_runs, step_cost
from mmskelssl.commands.configs import find_config, flatten
from mmskelssl.commands.papers import DATASETS, LAYOUTS, PAPERS, entries
from mmskelssl.commands.reproduce_cost import describe, duration
from mmskelssl.commands.reproduce_plan import Plan, make_plan
from mmskelssl.commands.reproduce_runs import reproduce
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine import config as config_module
from mmskelssl.engine import train as engine
from mmskelssl.engine.config import complete
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import fixed_weights
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.recipes import FINETUNE, FinetuneRecipe
from mmskelssl.layouts import get_layout
from mmskelssl.registry import MODELS
from tests.conftest import random_clip

ENTRIES = [(paper, entry) for paper in PAPERS for entry in entries(paper)]
NARROW = {'train_cfg.max_epochs': 1, 'model.backbone.hidden_channels': 4, 'model.backbone.out_channels': 16,
          'train_dataloader.batch_size': 8, 'train_dataloader.num_workers': 0,
          'train_dataloader.persistent_workers': False, 'default_hooks.knn': None, 'model.queue_size': 64,
          'model.topk': 16, 'data.pipeline.2.frames': 24}


def write_store(path, layout, persons=2):
    """48 clips with NTU's names, 4 classes and the splits of every data set."""
    rng, layout, splits = np.random.default_rng(0), get_layout(layout), {}
    with StoreWriter(path, layout.name, classes=[f'A{i}' for i in range(4)], source='test') as writer:
        for i in range(48):
            setup, camera, person, action = 1 + i // 12, 1 + i % 3, 1 + i % 4, 1 + (i + i // 12) % 4
            name = f'S{setup:03}C{camera:03}P{person:03}R001A{action:03}'
            writer.add(name, random_clip(rng, layout, min(persons, 1 + i % 2), int(rng.integers(20, 40)), action - 1),
                       action - 1, subject=person)
            for split, train in (('xsub', person < 4), ('xview', camera > 1), ('xset', setup % 2 == 0)):
                splits.setdefault(f'{split}_{"train" if train else "test"}', []).append(name)
        splits |= dict(train=splits['xsub_train'], test=splits['xsub_test'])
        for split, names in splits.items():
            writer.set_split(split, names)
    return str(path)


@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    """Data set -> store of its layout."""
    folder = tmp_path_factory.mktemp('stores')
    made = {layout: write_store(folder / layout, layout, 2 if layout == 'ntu25' else 1)
            for layout in sorted(set(LAYOUTS.values()))}
    return {name: made[LAYOUTS[name]] for name in DATASETS}


def needed(entry, stores):
    names = dict.fromkeys(name for column in entry.columns for name in (column.data, column.on) if name)
    return [f'{name}={stores[name]}' for name in names]


def find(paper, name):
    return next(entry for entry in entries(paper) if entry.name == name)


@pytest.fixture
def configs_read_once(monkeypatch):
    """Reading the same config for each run of a plan takes longer than the rest."""
    read = functools.cache(config_module.read_config)
    monkeypatch.setattr(config_module, 'read_config', lambda path: copy.deepcopy(read(path)))


@pytest.fixture
def drawings(monkeypatch):
    """Drawing a confusion matrix for each row takes longer than the rest."""
    monkeypatch.setattr('mmskelssl.commands.output.draw_errors', lambda *_: None)


@pytest.fixture(scope='module')
def trained(stores, tmp_path_factory):
    """A folder with the runs of an ablation: the recipe, and an arm that shares its first stage."""
    out = str(tmp_path_factory.mktemp('out'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmskelssl.commands.output.draw_errors', lambda *_: None)
        for rows in (['whole body'], ['actionlet', 'whole body']):  # the arm needs the recipe, asked for or not
            plan = make_plan(find('actclr', 'table8'), [stores['ntu60']], out, options=NARROW, rows=rows,
                             columns=['NTU60 x-view'])
            path = reproduce('actclr', plan)
    return out, path


@pytest.mark.parametrize('paper, entry', ENTRIES, ids=[f'{paper}-{entry.name}' for paper, entry in ENTRIES])
def test_the_registry_names_what_exists(paper, entry):
    names = [column.name for column in entry.columns]
    assert len(set(names)) == len(names) and len({row.name for row in entry.rows}) == len(entry.rows)
    assert set(entry.published) <= {(row.name, name) for row in entry.rows for name in names}
    assert all(0 < value < 100 and source for value, source in entry.published.values())
    for column in entry.columns:
        for row in entry.rows:
            find_config(f'{row.method or entry.method}_{column.like or column.data}')
            if not entry.figure:
                fixed_weights(column.weights, ('joint', 'bone', 'motion'))
                recipes = [column.recipe_of(stream) for stream in row.streams]
                assert all(recipe in PROTOCOLS[column.protocol].RECIPES for recipe in recipes)


@pytest.mark.parametrize('paper, entry', ENTRIES, ids=[f'{paper}-{entry.name}' for paper, entry in ENTRIES])
def test_every_entry_can_be_planned(paper, entry, stores, tmp_path, configs_read_once):
    """Configs, options, stores and splits are checked, and nothing is written."""
    plan = make_plan(entry, needed(entry, stores), str(tmp_path / 'out'))
    text = describe(plan, costs=False)
    assert len(plan.entry.columns) == len(entry.columns) and not (tmp_path / 'out').exists()
    for row in entry.rows:
        assert f'{"draw" if entry.figure else "measure"}' in text and row.name in text
    assert len({run.folder for run in plan.runs()}) == len(plan.runs())
    assert all('0 of' in line for line in text.splitlines() if line.startswith('train '))


ARMS = [(paper, entry, row) for paper, entry in ENTRIES for row in entry.rows if row.options]


@pytest.mark.parametrize('paper, entry, row', ARMS, ids=[f'{paper}-{entry.name}-{row.name}'.replace(' ', '_')
                                                         for paper, entry, row in ARMS])
def test_every_arm_of_an_ablation_can_be_built(paper, entry, row, stores, configs_read_once):
    """Its options reach the model, which accepts them."""
    plan = make_plan(entry, [stores['ntu60']], 'unused', rows=[row.name], columns=[entry.columns[0].name])
    stage = plan.run(row, plan.entry.columns[0], 'joint', 0).stages()[-1]
    cfg, _ = complete(stage.cfg)
    MODELS.build(cfg.model)
    flat = flatten(cfg.to_dict())
    for key, value in row.options.items():
        assert flat[key] == (list(value) if isinstance(flat[key], list) else value)


def test_what_the_plan_sets_is_refused_as_an_option():
    for key, place in (('data.split', '--columns'), ('randomness.seed', '--seeds'),
                       ('model.data_preprocessor.stream', '--rows'), ('data.store', '--data')):
        with pytest.raises(UserError, match=f'--cfg-options {key}: {place} sets {key}'):
            make_plan(None, [], 'unused', options={key: 3})


def test_the_command_plans_with_costs(stores, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(step_cost, 'REPEATS', 1)
    options = [f'{key}={value}' for key, value in NARROW.items() if value is not None]
    arguments = ['reproduce', 'actclr', 'table2', '--data', f'ntu60={stores["ntu60"]}', '--dry-run', '--columns',
                 'NTU60 x-sub', '--out', str(tmp_path), '--cfg-options', *options]
    cli.main(arguments)
    out = capsys.readouterr().out
    assert out.count('\ntrain actclr_ntu60 ') == 6 and out.count('\nmeasure ') == 4  # 3 streams of 2 stages; 3 and 3s
    assert re.search(r'xsub_bone_seed0/aimclr: 0 of 1 epochs done, about \S+ \S+ \(\S+ s a step\)', out)
    assert 'weights paper-actclr-xsub' in out and re.search(r'in all about \d', out)
    assert 'has 4 classes, and NTU60 has 60' in out and 'this is not a reproduction' in out
    cli.main([*arguments, '--no-cost'])
    assert 'about' not in capsys.readouterr().out


def test_durations():
    assert [duration(s) for s in (4.2, 90, 7200, 864000)] == ['4 s', '1.5 min', '2.0 h', '10.0 days']


@pytest.mark.slow
def test_a_table_is_written_next_to_the_published_numbers(trained):
    """Both arms are trained, the second one from the first stage of the first one."""
    out, path = trained
    arm, base = (osp.join(out, name, 'xview_joint_seed0') for name in ('actclr_ntu60-mask_ones', 'actclr_ntu60'))
    assert osp.isfile(osp.join(base, 'aimclr', 'epoch_1.pth')) and osp.isfile(osp.join(arm, 'actclr', 'epoch_1.pth'))
    assert not osp.exists(osp.join(arm, 'aimclr'))
    text = open(path).read()
    assert re.search(r'\| actionlet \| \d+\.\d \(\d+\.\d–\d+\.\d\) \|  \|', text) and '| whole body |' in text
    content = json.loads(open(osp.splitext(path)[0] + '.json').read())
    results = [cell['result'] for cell in content['cells']]
    assert [result['recipe'] for result in results] == ['paper-actclr'] * 2
    assert [result['method'] for result in results] == ['ActCLR'] * 2  # the last stage only
    assert results[0]['checkpoint'] != results[1]['checkpoint'] and results[0]['split'] == 'xview'


@pytest.mark.slow
def test_finished_runs_serve_other_entries(trained, stores, monkeypatch, drawings):
    """The first stage and neighbours of the same runs: nothing is trained."""
    monkeypatch.setattr(engine, 'run_stage', lambda *_, **__: pytest.fail('trained again'))
    plan = make_plan(find('actclr', 'table7'), [f'ntu60={stores["ntu60"]}'], trained[0], options=NARROW,
                     columns=['NTU60 x-view 1-NN', 'NTU60 x-view mAP'])
    text = open(reproduce('actclr', plan)).read()
    assert len(re.findall(r'\| (?:AimCLR|ActCLR) \| \d+\.\d \(.*?\) \|  \| \d+\.\d \(.*?\) \|  \|', text)) == 2


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize('name, count', [('figure1', 1), ('figure2', 2)])
def test_figures_are_drawn_from_finished_runs(name, count, trained, stores, monkeypatch):
    monkeypatch.setattr(engine, 'run_stage', lambda *_, **__: pytest.fail('trained again'))
    plan = make_plan(find('actclr', name), [stores['ntu60']], trained[0], options=NARROW)
    pictures = [*Path(reproduce('actclr', plan)).glob('*.png')]
    assert len(pictures) == count and all(file.stat().st_size > 5000 for file in pictures)


@pytest.mark.slow
def test_it_continues_where_it_stopped(stores, tmp_path, monkeypatch, drawings):
    """Stopped after the first stage, then while measuring. Neither is repeated, and the table keeps what is done."""
    options = {**NARROW, 'model.head.out_channels': 8}
    del options['model.topk'], options['data.pipeline.2.frames'], options['model.backbone.out_channels']
    plan = make_plan(find('crrl', 'table7'), [stores['ntu60']], str(tmp_path), options=options,
                     columns=['NTU60 x-sub'], rows=['motion learner', 'CRRL'])
    run_stage, trained = engine.run_stage, []

    def only(*names):
        def run(name, *rest):
            if name not in names:
                raise KeyboardInterrupt
            trained.append(name)
            run_stage(name, *rest)
        return run
    monkeypatch.setattr(engine, 'run_stage', only('crrlmotion'))
    with pytest.raises(KeyboardInterrupt):
        reproduce('crrl', plan)
    assert '0 of 1 epochs' in describe(plan, costs=False) and '1 of 1 epochs' in describe(plan, costs=False)
    monkeypatch.setattr(engine, 'run_stage', only('crrl'))
    evaluate, measured = benchmark_runs.evaluate_checkpoints, []

    def stopping(ends, *rest, **options):
        if measured:
            raise KeyboardInterrupt
        measured.append(ends)
        return evaluate(ends, *rest, **options)
    monkeypatch.setattr(benchmark_runs, 'evaluate_checkpoints', stopping)
    with pytest.raises(KeyboardInterrupt):
        reproduce('crrl', plan)
    assert trained == ['crrlmotion', 'crrl'] and '| CRRL | - |' in (tmp_path / 'crrl_table7.md').read_text()
    monkeypatch.setattr(benchmark_runs, 'evaluate_checkpoints', lambda ends, *rest, **options: (
        measured.append(ends), evaluate(ends, *rest, **options))[1])
    text = open(reproduce('crrl', plan)).read()
    assert trained == ['crrlmotion', 'crrl'] and ' | - |' not in text
    assert [osp.basename(osp.dirname(ends[0])) for ends in measured] == ['crrlmotion', 'crrl']


@pytest.mark.slow
def test_streams_seeds_and_transfer(stores, tmp_path, monkeypatch, drawings):
    """Fine-tuning with a recipe of its own for each stream, fused and averaged, and measuring on another store."""
    for name in ('paper-skeattnclr', 'paper-skeattnclr-ntu60-bone', 'paper-skeattnclr-ntu60-motion'):
        monkeypatch.setitem(FINETUNE._entries, name, FinetuneRecipe(lr=.01, epochs=1, batch_size=16))
    options = {**NARROW, 'data.pipeline.2.frames': 32}
    del options['model.topk']
    data = [f'{name}={stores[name]}' for name in ('ntu60', 'pkummd2')]
    table = dict(entry=find('skeattnclr', 'table3'), given=data[:1], out=str(tmp_path), options=options,
                 columns=['NTU60 x-sub'])
    text = open(reproduce('skeattnclr', make_plan(**table))).read()
    assert 'paper-skeattnclr+paper-skeattnclr-ntu60-bone+paper-skeattnclr-ntu60-motion' in text
    fused = json.loads((tmp_path / 'skeattnclr_table3.json').read_text())['cells'][3]['result']
    assert (fused['stream'], fused['weights']) == ('3s', [.5, .5, .4])
    text = open(reproduce('skeattnclr', make_plan(**table, seeds=[0, 1], rows=['joint']))).read()
    assert re.search(r'\| joint \| \d+\.\d ± \d+\.\d \(2 seeds\) \|', text)

    monkeypatch.setattr(engine, 'run_stage', lambda *_, **__: pytest.fail('trained again'))
    reproduce('skeattnclr', make_plan(find('skeattnclr', 'table5'), data, str(tmp_path), options=options))
    row = json.loads((tmp_path / 'skeattnclr_table5.json').read_text())['cells'][0]['result']
    assert row['protocol'] == 'linear' and row['scores'].startswith('xsub_joint_seed0/on_ntu25/')


@pytest.mark.parametrize('arguments, message', [
    (['actlcr', 'table1'], "unknown paper 'actlcr': did you mean actclr"),
    (['actclr', 'tabel2'], "unknown table or figure of actclr 'tabel2': did you mean table2"),
    (['actclr'], 'say which paper and which table'), ([], 'say which paper and which table'),
    (['actclr', 'table2', '--data', 'ntu60=no/such'], 'no store at no/such'),
    (['actclr', 'table2', '--data', 'elsewhere'], 'say which data set it is, as in ntu60=elsewhere'),
    (['actclr', 'table2', '--data', 'cmu=x'], 'this entry has ntu60, ntu120, not cmu'),
    (['actclr', 'table2', '--rows', 'bones'], "--rows 'bones': there are 'joint', 'bone', 'motion', 'three streams'"),
    (['actclr', 'table2', '--columns', 'NTU61'], "--columns 'NTU61': there are 'NTU60 x-sub'"),
    (['crrl', 'table4'], 'NW-UCLA is left out, because there is no data/nwucla')])
def test_mistakes(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(['reproduce', *arguments])
    error = capsys.readouterr().err
    assert end.value.code == 2 and message in error and error.count('\n') == 1


def test_wrong_stores(stores, tiny_store, tmp_path):
    table = find('actclr', 'table8')
    with pytest.raises(UserError, match="has layout 'kinect20', and NTU60 has 'ntu25': this is another data set"):
        make_plan(table, [f'ntu60={stores["nwucla"]}'], str(tmp_path))
    with pytest.raises(UserError, match="has no split 'xsub_train', which NTU60 x-sub needs; it has train, test"):
        make_plan(table, [f'ntu60={tiny_store}'], str(tmp_path))
    with pytest.raises(UserError, match='ntu60 is given twice'):
        make_plan(table, [stores['ntu60']] * 2, str(tmp_path))
    with pytest.raises(UserError, match='do not make one batch of 128: lower train_dataloader.batch_size'):
        describe(make_plan(table, [stores['ntu60']], str(tmp_path)))
    with pytest.raises(UserError, match="model.maks"):
        describe(make_plan(table, [stores['ntu60']], str(tmp_path), options={'model.maks': 'ones'}))


@pytest.mark.slow
def test_other_options_in_the_same_folder_are_refused(trained, stores):
    """A run of other options is never taken for this one."""
    plan = make_plan(find('actclr', 'table8'), [stores['ntu60']], trained[0], rows=['actionlet'],
                     columns=['NTU60 x-view'], options={**NARROW, 'model.late_epoch': 3})
    with pytest.raises(UserError, match='was written by a different run'):
        reproduce('actclr', plan)


def test_the_list_names_every_entry(capsys):
    cli.main(['reproduce', '--list'])
    out = capsys.readouterr().out
    assert all(f'  {paper} {entry.name} ' in out and entry.title in out for paper, entry in ENTRIES)
    assert "not those of the papers' own tables" in out
    cli.main(['reproduce', 'crrl', '--list'])
    assert 'skeattnclr' not in capsys.readouterr().out


def test_a_cell_without_a_result_is_a_dash():
    text = reproduce_runs.table_text('actclr', Plan(find('actclr', 'table2'), {}, 'unused'), {})
    assert '| three streams | - | 84.3 |' in text and 'comparison in MacDiff: three streams on NTU120 x-sub' in text
