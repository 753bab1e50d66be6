"""Tables of rows and the pages that contain them."""
import itertools
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmskelssl.commands.benchmark_rows import pool_folds
from mmskelssl.errors import UserError
from mmskelssl.evaluation.results import add_results, print_table, read_results, shown
from tools.analysis.collect_results import fill, main, rows_of, table

ROOT = Path(__file__).resolve().parents[2]
PAGES = ['README.md', *(str(page.relative_to(ROOT)) for page in sorted((ROOT / 'docs').rglob('*.md')))]


def row(top1, encoder='SimCLR', protocol='linear', recipe='logreg', **changes):
    fixed = dict(method=encoder, backbone='STGCN', data='sbu', stream='joint', split='test', label_fraction=1.0)
    return {**fixed, **dict(encoder=encoder, protocol=protocol, recipe=recipe, top1=top1, ci95=[top1 - 2, top1 + 2]),
            **changes}


def cells(text):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.strip().splitlines()]


def test_protocols_have_columns_of_their_own():
    rows = [row(50, recipe='paper-actclr'), row(60, protocol='finetune', recipe='paper-actclr'),
            row(20, protocol='semi', recipe='small', label_fraction=.05), row(30, protocol='semi', recipe='small',
                                                                              label_fraction=.1),
            row(90, protocol='retrieval', recipe='cosine', map=40., map_ci95=[39., 41.]), row(10, encoder='untrained')]
    head, _, untrained, trained = cells(table(rows))
    assert head == ['encoder', 'test, logreg', 'test, linear paper-actclr', 'test, finetune paper-actclr',
                    'test, semi 5 % small', 'test, semi 10 % small', 'test, retrieval cosine mAP']
    assert untrained == ['untrained', '10.0 (8.0–12.0)', '', '', '', '', '']
    assert trained == ['SimCLR', '', '50.0 (48.0–52.0)', '60.0 (58.0–62.0)', '20.0 (18.0–22.0)', '30.0 (28.0–32.0)',
                       '40.0 (39.0–41.0)']


def test_a_table_may_show_one_encoder_and_its_untrained_backbone():
    rows = [row(10, 'untrained'), row(20, 'untrained', backbone='BiGRU'), row(50), row(60, 'AimCLR')]
    assert [line[0] for line in cells(table(rows, encoders='untrained,SimCLR', backbones='STGCN'))[2:]] == [
        'untrained', 'SimCLR']
    for wanted in (dict(encoders='BYOL'), dict(backbones='SkeletonViT')):
        with pytest.raises(UserError, match='no results of the (encoder BYOL|backbone SkeletonViT)'):
            table(rows, **wanted)


def test_streams_seeds_and_data_sets():
    rows = [row(50 + seed, pretrain_seed=seed) for seed in (0, 1)] + [
        row(50.5, seeds=[0, 1], std=.7071), row(70, stream='3s'), row(30, data='msr', pretrain_data='sbu')]
    head, _, joint, fused = cells(table(rows))
    assert head == ['encoder', 'sbu test, logreg', 'sbu to msr test, logreg']
    assert joint == ['SimCLR, joint', '50.5 ± 0.7', '30.0 (28.0–32.0)']
    assert fused == ['SimCLR, 3s', '70.0 (68.0–72.0)', '']


def test_the_split_without_leaks_comes_first(capsys):
    """In the tables of pages, and in those of commands, whose splits are the lines of an encoder."""
    rows = [row(value, encoder, split=split) for value, (encoder, split) in enumerate(itertools.product(
        ('untrained', 'SimCLR'), ('test', 'test_clean', 'xsub')), 10)]
    assert cells(table(rows))[0] == ['encoder', 'test_clean, logreg', 'test, logreg', 'xsub, logreg']
    assert cells(table(rows, splits='test,test_clean'))[2] == ['untrained', '11.0 (9.0–13.0)', '10.0 (8.0–12.0)']
    print_table(rows)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for line in lines for name in line if name in ('untrained', 'SimCLR', 'test', 'test_clean', 'xsub')] \
        == [name for encoder in ('untrained', 'SimCLR') for split in ('test_clean', 'test', 'xsub')
            for name in (encoder, split)]


def test_a_table_may_show_a_part_and_be_turned(tmp_path):
    rows = [row(value, encoder, split=split, recipe=recipe) for value, (encoder, split, recipe) in enumerate(
        itertools.product(('untrained', 'SimCLR'), ('test', 'all'), ('logreg', '1nn')), 10)]
    head, *_ = cells(table(rows[::2] + rows[1::2]))
    assert head == ['encoder', 'test, logreg', 'test, linear 1nn', 'all, logreg', 'all, linear 1nn']
    assert cells(table(rows, splits='all', recipes='logreg', across='encoders')) == [
        ['', 'untrained', 'SimCLR'], ['---'] * 3, ['all, logreg', '12.0 (10.0–14.0)', '16.0 (14.0–18.0)']]
    (tmp_path / 'results.json').write_text(json.dumps(dict(results=rows)))

    def page(options):
        return fill(f'<!-- results . {options} -->\n<!-- end -->', str(tmp_path))
    assert '16.0' in page('splits=all recipes=logreg') and '15.0' not in page('splits=all recipes=logreg')
    for options, message in (('splits=none', 'no results of the split none'), ('rows=1nn', "no option 'rows'")):
        with pytest.raises(UserError, match=message):
            page(options)


@pytest.mark.parametrize('page', PAGES)
def test_pages_say_what_the_files_say(page):
    text = (ROOT / page).read_text(encoding='utf-8')
    assert fill(text, str((ROOT / page).parent)) == text


def test_folders_are_relative_to_the_page(tmp_path, monkeypatch):
    (tmp_path / 'results.json').write_text(json.dumps(dict(results=[row(50)])))
    page = tmp_path / 'docs' / 'page.md'
    page.parent.mkdir()
    page.write_text('<!-- results .. -->\n<!-- end -->\n')
    monkeypatch.setattr(sys, 'argv', ['collect_results.py', str(page)])
    main()
    assert page.read_text() == '<!-- results .. -->\n' + table([row(50)]) + '<!-- end -->\n'
    monkeypatch.setattr(sys, 'argv', ['collect_results.py', str(page), '--check'])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    other = tmp_path / 'other.md'
    other.write_text('<!-- results . -->\n<!-- end -->\n')
    monkeypatch.setattr(sys, 'argv', ['collect_results.py', str(page), str(other), '--check'])
    with pytest.raises(SystemExit, match='^[^,]*other.md: tables differ'):
        main()
    assert table([row(50)]) not in other.read_text()


def test_a_number_that_no_file_has_is_noticed(tmp_path):
    (tmp_path / 'results.json').write_text(json.dumps(dict(results=[row(50)])))
    page = '<!-- results . -->\n' + table([row(50)]) + '<!-- end -->\n'
    assert fill(page, str(tmp_path)) == page
    assert fill(page.replace('50.0', '50.1'), str(tmp_path)) == page


def test_commands_may_add_to_one_folder_at_the_same_time(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add_results(str(tmp_path), [dict(encoder='SimCLR', recipe=str(i))]), range(24)))
    assert {row['recipe'] for row in read_results(str(tmp_path / 'results.json'))} == {str(i) for i in range(24)}
    assert add_results(str(tmp_path), [dict(encoder='SimCLR', recipe='3', top1=1.)]) == (23, 1)


def test_several_seeds_of_one_encoder_are_shown_as_their_mean(tmp_path):
    """As measured by one command that gives the runs of all seeds the same name."""
    rows = [dict(encoder=name, method='ActCLR', backbone='STGCN', data='nwucla', stream='joint', split='test',
                 protocol='knn', recipe='1nn', label_fraction=1.0, pretrain_seed=seed, top1=top1, top5=None,
                 mean_class=top1, ci95=[0., 100.], num_test=100, seconds=1.)
            for name, seed, top1 in (('zeros', 0, 80.), ('zeros', 1, 84.), ('ones', 0, 70.))]
    (tmp_path / 'results.json').write_text(json.dumps(dict(results=rows)))
    page = fill('<!-- results . -->\n<!-- end -->\n', str(tmp_path))
    assert '| zeros | 82.0 ± 2.8 |' in page and '| ones | 70.0 (0.0–100.0) |' in page


def test_folds_that_were_measured_one_by_one_are_pooled(tmp_path):
    def fold(number, top1, count, **changes):
        return row(top1, split=f'fold{number}', pretrain_seed=0, settings='C=0.1', mean_class=top1, num_test=count,
                   num_train=40, seconds=1., feature_seconds=1., **changes)
    for name, rows in (('a', [fold(1, 50., 10), fold(1, 20., 10, encoder='untrained')]), ('b', [fold(2, 80., 20)])):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'results.json').write_text(json.dumps(dict(results=rows)))
    head, _, untrained, trained = cells(table(rows_of(str(tmp_path))))
    assert head == ['encoder', '1 folds, logreg', '2 folds, logreg']
    assert untrained[1].startswith('20.0 (') and trained[2].startswith('70.0 (')
    rows = [fold(1, 50., 10), fold(2, 80., 20)]  # all in one call: `evaluate` has added the row over both
    (tmp_path / 'b' / 'results.json').write_text(json.dumps(dict(results=[*rows, *pool_folds(rows)])))
    (tmp_path / 'a' / 'results.json').unlink()
    assert cells(table(rows_of(str(tmp_path))))[0] == ['encoder', '2 folds, logreg']
    assert len(rows_of(str(tmp_path))) == 1


def test_two_results_for_one_cell_are_refused():
    """The last one was shown."""
    rows = [row(50, backbone='STGCN'), row(60, backbone='BiGRU')]
    with pytest.raises(UserError, match='SimCLR has two results of .*test, logreg, 50.0 .* and 60.0 .* in backbone'):
        table(rows)
    assert '60.0' in table(rows, backbones='BiGRU')
    assert table([row(50), row(50)]) == table([row(50)])


def test_a_mean_over_seeds_hides_no_row_of_another_backbone():
    mean = row(50, backbone='STGCN', seeds=[0, 1], std=1.)
    assert shown([mean, row(40, backbone='STGCN'), row(60, backbone='BiGRU')]) == [mean, row(60, backbone='BiGRU')]
