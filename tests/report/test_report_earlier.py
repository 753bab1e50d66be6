"""Results of earlier commands on the page: which checkpoint and data they are about, and files that are not sound."""
import json
from types import SimpleNamespace

import pytest

from mmskelssl.report import earlier
from mmskelssl.report.earlier import earlier_results
from mmskelssl.report.head import facts
from mmskelssl.report.sources import Source

RUN = dict(config_hash='v2-aa', epoch=6, stream='joint')
ROW = dict(encoder='SimCLR', method='SimCLR', backbone='STGCN', data='toy', data_hash='d1', stream='joint',
           split='test', protocol='knn', recipe='1nn', label_fraction=1., config_hash='v2-aa', epoch=6, top1=71.5,
           ci95=[60., 80.], num_test=100)
HEAD = dict(command='mmskelssl evaluate all run', date='2026-03-01 12:30 UTC')


@pytest.fixture
def source(tmp_path) -> Source:
    """A run whose encoder has trained six epochs on the data with the hash d1."""
    made = Source(str(tmp_path), 'run')
    made.extractor = SimpleNamespace(checkpoint=str(tmp_path / 'epoch_6.pth'), info=RUN)
    made.store = SimpleNamespace(data_hash='d1')
    return made


def write(folder, *rows, **head) -> None:
    folder.mkdir(exist_ok=True)
    (folder / 'results.json').write_text(json.dumps(dict(results=rows, **{**HEAD, **head})))


def test_earlier_results_are_marked(source, tmp_path):
    """Those of the checkpoint, with the untrained encoder beside them; others say what is different."""
    other = dict(command='mmskelssl benchmark c.py', date='2026-02-01 08:00 UTC')
    write(tmp_path / 'epoch_6_eval', ROW, dict(ROW, encoder='untrained', epoch=0, top1=40., ci95=[30., 50.]),
          dict(ROW, epoch=3), dict(ROW, config_hash='v2-bb', provenance=other),
          dict(ROW, data='new', data_hash='d2', protocol='retrieval', recipe='cosine', map=33.3, map_ci95=None),
          dict(ROW, config_hash=None, seeds=[0, 1], std=1.5, provenance=other, label_fraction=.05))
    write(tmp_path, dict(ROW, encoder='untrained', epoch=0, split='xsub'), date=None)
    part, notes = earlier_results([source])
    by_file = {row[1]: row for row in part['rows']}
    assert notes == [] and by_file['xsub'][3] == 'an untrained encoder'
    assert part['rows'][1:] == [
        ['SimCLR', 'test', 'knn 1nn', 'this checkpoint', '100', '71.5 (60.0–80.0)', '40.0 (30.0–50.0)', '2'],
        ['SimCLR', 'test', 'knn 1nn', 'epoch 3', '100', '71.5 (60.0–80.0)', '40.0 (30.0–50.0)', '2'],
        ['SimCLR', 'test', 'knn 1nn', 'another run', '100', '71.5 (60.0–80.0)', '40.0 (30.0–50.0)', '3'],
        ['SimCLR', 'test', 'retrieval cosine', 'other data (new)', '100', '33.3', '', '2'],
        ['SimCLR', 'test', 'knn 5 % 1nn', 'several runs', '100', '71.5 ± 1.5', '', '3']]
    assert part['commands'][1:] == [('2026-03-01 12:30 UTC', HEAD['command']), (other['date'], other['command'])]
    assert part['commands'][0][0].startswith('no later than 20')


@pytest.mark.parametrize('content, told', [
    (b'{"results": [', 'is not a readable results.json'),
    (b'[' * 100_000, 'is not a readable results.json'),
    (b'\xff\xfe\x00', 'is not a readable results.json'),
    (b'{"results": {"a": 1}}', 'is not a readable results.json'),
    (json.dumps(dict(results=[ROW, dict(ROW, top1=float('nan')), dict(ROW, top1='<b>'), dict(ROW, ci95=[1]), {},
                              dict(ROW, encoder=['x']), dict(ROW, num_test=1e300)])).encode(),
     '6 of 7 earlier results cannot be read'),
], ids=['cut', 'deep', 'no text', 'no list', 'values'])
def test_a_damaged_file_is_one_line(source, tmp_path, content, told):
    (tmp_path / 'results.json').write_bytes(content)
    part, (note,) = earlier_results([source])
    assert told in note and '\n' not in note and len(part['rows'] if part else []) == (told[0] == '6')


def test_hostile_and_large_files_are_bounded(source, tmp_path, monkeypatch):
    long = dict(ROW, encoder='\u202e' + 'x' * 5000, split='a\nb')
    write(tmp_path, *[long] * 300, command='y' * 100_000, date={})
    part, notes = earlier_results([source])
    assert len(part['rows']) == earlier.ROWS and notes == ['300 earlier results were found, of which 100 are shown']
    assert all(len(cell) <= 120 and cell.isprintable() for row in part['rows'] for cell in row)
    assert len(part['commands'][0][1]) == 2000
    monkeypatch.setattr(earlier, 'MAX_FILE', 1000)
    assert earlier_results([source])[0] is None and 'larger than' in earlier_results([source])[1][0]


def test_the_command_of_a_run_is_in_the_head(source):
    """Checkpoints of earlier versions do not have it."""
    source.extractor, source.store = None, None
    assert 'Command' not in dict(facts(source))
    for info, text in ((dict(model={}), 'not recorded'), (dict(model={}, command='mmskelssl train a.py', world_size=2,
                       launcher='pytorch'), 'mmskelssl train a.py (2 processes, launcher pytorch)')):
        extractor = SimpleNamespace(model=SimpleNamespace(parameters=list), info=info, checkpoint='a.pth')
        source.extractor = extractor
        assert dict(facts(source))['Command'] == text
