"""Damaged and foreign results.json are named in one line, and their names are no Markdown."""
import json

import pytest

from mmskelssl.errors import UserError
from mmskelssl.evaluation.results import add_results
from tools.analysis.collect_results import fill, rows_of

ROW = dict(encoder='SimCLR', method='SimCLR', backbone='STGCN', data='sbu', stream='joint', split='test',
           protocol='linear', recipe='logreg', label_fraction=1., top1=50., mean_class=50., ci95=[40., 60.],
           num_test=10, num_train=20, seconds=1., feature_seconds=1., pretrain_seed=0)


def write(folder, *rows) -> str:
    (folder / 'results.json').write_text(json.dumps(dict(results=rows)))
    return str(folder)


@pytest.mark.parametrize('changes, message', [
    (dict(top1='50'), r"row 2: top1 is '50', not a number"), (dict(top1=float('nan')), 'top1 is nan, not a number'),
    (dict(top1=10 ** 400), 'top1 is 1000'), (dict(top1=True), 'top1 is True'), (dict(split=None), 'split is None'),
    (dict(ci95=[1.]), r'ci95 is \[1.0\], not two numbers'), (dict(ci95='ab'), "ci95 is 'ab'"),
    (dict(encoder=['a']), r"encoder is \['a'\], not a text"), (dict(protocol='retrieval'), 'map is None, not a number'),
    (dict(num_test='x'), "num_test is 'x'"), (dict(label_fraction='x'), "label_fraction is 'x'")])
def test_rows_that_have_no_result(tmp_path, changes, message):
    with pytest.raises(UserError, match=f'results.json: .*{message}'):
        rows_of(write(tmp_path, ROW, {**ROW, **changes}))


@pytest.mark.parametrize('content', [b'{"results": [{"enc', b'[' * 100_000, b'{"results": null}', b'{"results": [1]}',
                                     b'{"results": [[["encoder", "SimCLR"]]]}', b'\xff'],
                         ids=['cut', 'deep', 'null', 'number', 'pairs', 'no text'])
def test_files_that_cannot_be_read(tmp_path, content):
    path = tmp_path / 'results.json'
    path.write_bytes(content)
    with pytest.raises(UserError, match='results.json is not a readable results.json'):
        rows_of(str(tmp_path))
    with pytest.raises(UserError, match='results.json is not a readable results.json'):
        add_results(str(tmp_path), [ROW])
    assert path.read_bytes() == content


def test_rows_without_what_means_need(tmp_path):
    lacks = {key: value for key, value in ROW.items() if key != 'seconds'}
    with pytest.raises(UserError, match='a row of several folds or seeds has no seconds; measure again'):
        rows_of(write(tmp_path, lacks, {**lacks, 'pretrain_seed': 1}))


def test_names_are_no_markup(tmp_path):
    write(tmp_path, {**ROW, 'encoder': 'a|b\n<script>'})
    page = fill('<!-- results . -->\n<!-- end -->\n', str(tmp_path))
    assert page.splitlines()[3] == r'| a\|b\n&lt;script> | 50.0 (40.0–60.0) |'


def test_folds_of_two_data_sets_and_backbones_are_pooled_apart(tmp_path):
    """They were refused as a fold that occurs twice, or pooled together if their folds had different numbers."""
    rows = [dict(ROW, split=f'fold{fold}', data=data, backbone=backbone, top1=top1, mean_class=top1)
            for data, backbone, top1 in (('sbu', 'STGCN', 20.), ('msr', 'STGCN', 40.), ('sbu', 'BiGRU', 60.))
            for fold in (1, 2)]
    made = rows_of(write(tmp_path, *rows))
    assert [(row['data'], row['backbone'], row['split'], row['top1']) for row in made] == [
        ('sbu', 'STGCN', '2 folds', 20.), ('msr', 'STGCN', '2 folds', 40.), ('sbu', 'BiGRU', '2 folds', 60.)]
