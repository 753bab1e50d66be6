"""Pages of runs and stores that lack something."""
import shutil
from pathlib import Path

import pytest
from read_page import ALL, report

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.visualization.curves import read_scalars


def subset(store: str, out: Path, rows, splits: dict, labels=True) -> str:
    source = SkeletonStore(store)
    with StoreWriter(out, 'ntu25', classes=source.classes if labels else [], source='test') as writer:
        for i in rows:
            writer.add(source.ids[i], source.keypoints(i), int(source.labels[i]) if labels else None)
        for name, some in splits.items():
            writer.set_split(name, [source.ids[i] for i in some])
    return str(out)


@pytest.mark.parametrize('count, splits, labels, missing, told', [
    (12, dict(train=range(6), test=range(6, 12)), False, ['confusion'], 'have a label, so no accuracy'),
    (12, {}, True, ['confusion'], 'has no training and test split'),
    (1, {}, True, ['confusion', 'neighbours'], 't-SNE needs at least 4 clips'),
    (3, dict(train=[0, 1], test=[2]), True, ['confusion'], 'no class of test has a training clip'),
], ids=['no labels', 'no splits', 'one clip', 'three clips'])
@pytest.mark.slow
def test_stores_that_lack_something(report_run, tiny_store, tmp_path, count, splits, labels, missing, told):
    page = report(report_run, data=subset(tiny_store, tmp_path / 's', range(count), splits, labels))
    assert [part for part in ALL if part not in missing] == page.sections
    assert told in page.text and len(page.data['clips']['id']) == count


@pytest.mark.parametrize('change, parts, told', [
    (lambda run: [file.unlink() for file in run.glob('*.pth')], ['summary', 'curves'], 'no checkpoint'),
    (lambda run: [file.write_bytes(b'x') for file in run.glob('*.pth')], ['summary', 'curves'], 'can be used'),
    (lambda run: [shutil.rmtree(folder) for folder in run.glob('2*')], [p for p in ALL if p != 'curves'],
     'no vis_data/scalars.json'),
], ids=['interrupted before a checkpoint', 'damaged checkpoint', 'no logs'])
@pytest.mark.slow
def test_runs_that_lack_something(report_run, tmp_path, change, parts, told):
    shutil.copytree(report_run, tmp_path / 'run')
    change(tmp_path / 'run')
    page = report(tmp_path / 'run')
    assert page.sections == parts and told in page.text


def test_nothing_to_show(tmp_path, tiny_store):
    for path, message in ((tmp_path / 'none', 'no such run or model'), (tiny_store, 'no checkpoint')):
        with pytest.raises(UserError, match=message):
            report(path)


@pytest.mark.slow
def test_a_run_of_another_version(report_run, tmp_path):
    import torch
    shutil.copytree(report_run, tmp_path / 'run')
    file = next((tmp_path / 'run').glob('*.pth'))
    content = torch.load(file, weights_only=False)
    content['meta']['mmskelssl']['spec_version'] = 99
    torch.save(content, file)
    (tmp_path / 'run' / 'manifest.json').unlink()
    page = report(tmp_path / 'run')
    assert page.sections[:2] == ['summary', 'curves']


def test_stages_are_in_the_order_in_which_they_ran(tmp_path):
    for stage, time in (('second', '20260102_000000'), ('first', '20260101_000000')):
        folder = tmp_path / stage / time / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text('{"loss": 1, "step": 1}\n')
    assert list(read_scalars(str(tmp_path))) == ['first', 'second']
