"""The report of runs and models: what is on the page, and pages of runs and stores that lack something."""
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hostile_store import HOSTILE, rename

from mmskelssl.cli import main
from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.evaluation.baselines import raw_neighbours
from mmskelssl.inference.clips import clips_in_memory
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.report import page as pages
from mmskelssl.report.browse import build_browser
from mmskelssl.report.build import build_report
from mmskelssl.report.clips import UNSEEN, ClipPacker, decode, encode
from mmskelssl.report.confusion import order_by_similarity
from mmskelssl.report.recording import timeline_of
from mmskelssl.report.selection import neighbours, select
from mmskelssl.report.sources import open_sources
from mmskelssl.visualization.curves import read_scalars
from tests.conftest import random_clip, write_tiny_store

ALL = ['summary', 'curves', 'map', 'neighbours', 'confusion', 'masks', 'views', 'data']


class Page(HTMLParser):
    """The parts of a page, its text, and its elements with their attributes."""

    def __init__(self, content: bytes):
        super().__init__()
        self.sections, self.tags, self.text = [], [], ''
        self.feed(content.decode())
        self.data = json.loads(re.search(r'id="page-data">(.*?)</script>', content.decode(), re.S)[1])

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == 'section':
            self.sections.append(dict(attributes).get('id'))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] not in ('script', 'style'):
            self.text += f' {" ".join(data.split())}'


def report(*paths, data=None, **options) -> Page:
    return Page(build_report(open_sources(list(map(str, paths)), data), **options))


@pytest.fixture(scope='module')
def page(report_run) -> Page:
    return report(report_run)


@pytest.mark.slow
def test_every_part_of_a_run_is_there(page, report_run):
    assert page.sections == ALL
    assert 'SkeAttnCLR on tiny' in page.text and 'untrained encoder' in page.text and 'raw coordinates' in page.text
    store = SkeletonStore(open_sources([report_run])[0].store.path)
    data = page.data
    assert data['clips']['id'] == store.ids and len(data['neighbours']) == 16 and store.data_hash in page.text
    shown = {key for key in data['charts'] if key.startswith('curve-')}
    assert {'curve-loss', 'curve-knn', 'curve-std', 'curve-cosine', 'curve-top1', 'curve-lr'} <= shown
    assert [one['title'] for one in data['colourings']] == ['class', 'error', 'split', 'subject', 'cluster']
    assert set(data['projections']) == {'t-SNE', 'PCA'}
    assert sum(cell['count'] for cell in data['cells'].values()) == 16
    steps = data['views']['clips'][0]['views'][0]['steps']
    assert len(steps[0]['draws']) == 1 and any(len(step['draws']) > 1 for step in steps)
    assert not any(attributes.get('src') for _, attributes in page.tags)
    assert all(attributes['href'].startswith('#') for _, attributes in page.tags if 'href' in attributes)


def test_clips_of_the_page_are_those_of_the_store(page, tiny_store):
    store = SkeletonStore(tiny_store)
    for i in (0, 17):
        packed = page.data['clips']['packed'][i]
        persons, frames, channels = packed['shape']
        points = decode(packed['data'], persons, frames, 25, channels)
        clip = store.keypoints(i)
        there = clip[clip.any((1, 2, 3))][:, np.arange(0, clip.shape[1], 2)]
        expected = 1000 * (there - (there.reshape(-1, 3).min(0) + there.reshape(-1, 3).max(0)) / 2)
        expected[..., 1] *= ClipPacker.of_store(store).up
        assert packed['fps'] == 15 and np.abs(points - expected).max() <= .51


@pytest.mark.slow
def test_neighbours_are_the_nearest_training_clips(page, report_run, tiny_store):
    source, store = open_sources([report_run])[0], SkeletonStore(tiny_store)
    feats = source.extractor.of_store(tiny_store, 'all').feats
    feats = feats / np.linalg.norm(feats, axis=1, keepdims=True)
    train = store.split('train')
    for entry in page.data['neighbours']:
        cosine = feats[entry['clip']] @ feats[train].T
        assert set(entry['near']) <= set(train) and len(entry['near']) == 5
        np.testing.assert_allclose(np.sort(1 - cosine)[:5], entry['distance'], atol=2e-3)


@pytest.mark.slow
def test_a_leak_stands_out(report_run, tiny_store, tmp_path):
    store = SkeletonStore(tiny_store)
    with StoreWriter(tmp_path / 'leak', 'ntu25', classes=store.classes, source='test') as writer:
        for i in range(30):
            writer.add(store.ids[i], store.keypoints(i), int(store.labels[i]))
        row = int(np.flatnonzero(store.frames[:30] > 25)[0])
        writer.add('again', 1.1 * store.keypoints(row)[:, 1:] + .5 * store.keypoints(row)[:, 1:].any(-1, keepdims=True),
                   int(store.labels[row]))
        writer.set_split('train', store.ids[:20] if row < 20 else store.ids[10:30])
        writer.set_split('test', [*(store.ids[20:30] if row < 20 else store.ids[:10]), 'again'])
    page = report(report_run, data=str(tmp_path / 'leak'))
    assert "leak: 1 of 11 clips of 'test' show the same movement as a clip of 'train'" in page.text
    entry = next(one for one in page.data['neighbours'] if page.data['clips']['id'][one['clip']] == 'again')
    assert page.data['clips']['id'][entry['same']] == store.ids[row]


@pytest.mark.slow
def test_several_runs_share_figures(report_run, tmp_path):
    shutil.copytree(report_run, tmp_path / 'other')
    page = report(report_run, tmp_path / 'other')
    assert page.data['masks']['names'] == ['run (SkeAttnCLR)', 'other (SkeAttnCLR)']
    assert 'run and other' in page.text and page.text.count('untrained encoder') >= 1
    with pytest.raises(UserError, match='a run is named twice'):
        open_sources([report_run, report_run + '/'])


def test_stages_are_in_the_order_in_which_they_ran(tmp_path):
    for stage, time in (('second', '20260102_000000'), ('first', '20260101_000000')):
        folder = tmp_path / stage / time / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text('{"loss": 1, "step": 1}\n')
    assert list(read_scalars(str(tmp_path))) == ['first', 'second']


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
    (3, dict(train=[0, 1], test=[2]), True, [], 't-SNE needs at least 4 clips'),
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


@pytest.mark.slow
def test_names_are_text(page, report_run, hostile_store):
    scripts = [tag for tag, _ in page.tags].count('script')
    page = report(report_run, data=hostile_store)
    assert [tag for tag, _ in page.tags].count('script') == scripts
    assert not any(tag == 'img' or 'onerror' in attributes for tag, attributes in page.tags)
    assert page.data['classes'] == HOSTILE and HOSTILE[0] in page.text
    assert b'$$' not in json.dumps(page.data['charts']).encode()  # Bokeh would load a typesetter of formulas


def test_a_page_allows_only_its_own_scripts(page):
    policy = next(tag[1]['content'] for tag in page.tags if tag[1].get('http-equiv'))
    assert "default-src 'none'" in policy and 'unsafe-eval' not in policy
    assert re.search(r"script-src( 'sha256-[\w+/=]+')+;", policy)


@pytest.mark.slow
def test_saved_models_and_recordings(report_run, tiny_store, tmp_path):
    extractor = FeatureExtractor(str(next(Path(report_run).glob('*.pth'))))
    extractor.save_pretrained(tmp_path / 'encoder')
    fit_classifier([extractor], tiny_store, fps=30).save_pretrained(tmp_path / 'classifier')
    page = report(tmp_path / 'encoder', data=tiny_store)
    assert page.sections == ['summary', 'map', 'neighbours', 'confusion', 'data']
    assert '--data STORE' in report_problem(tmp_path / 'encoder')
    layout = SkeletonStore(tiny_store).layout
    day = random_clip(np.random.default_rng(0), layout, 1, 150)
    clips = clips_in_memory([day], layout, 3, 30., ['day'])
    for path in (tmp_path / 'classifier', report_run):
        sources = open_sources([str(path)], tiny_store)
        timeline = timeline_of(sources[0], clips, 'train', 1., .5, None, None, False)
        page = Page(build_report(sources, timeline=timeline))
        assert page.sections[-1] == 'recording' and page.data['tracks'][0]['clip']['shape'][1] == 75
        assert 'track-0' in page.data['charts'] and len(timeline.windows) == 9
    assert 'as saved' in report(tmp_path / 'classifier', data=tiny_store).text


def report_problem(path) -> str:
    with pytest.raises(UserError) as error:
        build_report(open_sources([str(path)]))
    return str(error.value)


@pytest.mark.slow
def test_the_command(report_run, tmp_path, capsys, monkeypatch):
    out = tmp_path / 'a' / 'report.html'
    main(['report', report_run, '--out', str(out), '--clips', '20'])
    assert str(out) in capsys.readouterr().out and len(Page(out.read_bytes()).data['clips']['id']) == 20
    pages.check_place(str(out))  # an earlier page may be replaced
    note = tmp_path / 'notes.html'
    note.write_text('mine')
    for arguments, message in ((['--out', str(note)], 'exists and is not a page of mmskelssl'),
                               (['--out', str(tmp_path / 'x.png')], 'the suffix must be .html'),
                               (['--window', '2', '--out', str(out)], 'add --recording'),
                               (['--clips', '0', '--out', str(out)], 'expected 1 or more'),
                               (['--split-pair', 'a:b', '--out', str(out)], "no split 'a'")):
        with pytest.raises(SystemExit) as end:
            main(['report', report_run, *arguments])
        assert end.value.code == 2 and message in capsys.readouterr().err
    assert note.read_text() == 'mine'
    for module in ('bokeh', 'bokeh.resources'):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit):
        main(['report', report_run, '--out', str(out)])
    assert capsys.readouterr().err == 'error: the package bokeh is missing: pip install bokeh\n'


def test_packing_survives_every_value():
    rng = np.random.default_rng(0)
    whole = rng.integers(-32767, 32768, (2, 9, 5, 3)).astype(np.int16)
    whole[1, 3:5] = UNSEEN
    assert (decode(encode(whole), 2, 9, 5, 3) == whole).all()


@pytest.mark.parametrize('units, scale, fps', [('m', 1, 30), ('px', 300, 10), ('m', 200, None)])
def test_units_and_rates(units, scale, fps):
    from mmskelssl.layouts import get_layout
    layout = get_layout('ntu25')
    clip = scale * random_clip(np.random.default_rng(1), layout, 1, 30)
    packer = ClipPacker(layout, [clip], units, fps)
    packed = packer.pack(clip)
    points = decode(packed['data'], 1, packed['shape'][1], 25, 3) * packed['step']
    assert packed['shape'][1] == (30 if fps == 10 else 15) and packed['fps'] == (10 if fps == 10 else 15)
    assert packer.fps_known == bool(fps) and np.abs(points).max() > 200
    bare = packer.pack(np.zeros_like(clip))
    assert (decode(bare['data'], 1, bare['shape'][1], 25, 3) == UNSEEN).all()
    assert packer.pack(np.tile(clip, (1, 100, 1, 1)))['cut']


def test_selection_keeps_neighbours_of_as_many_clips_as_fit():
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(120, 4))
    test, train = np.arange(80, 120), np.arange(80)
    found = neighbours(feats[test], feats[train])
    for most in (12, 60, 500):
        chosen = select(test, train, lambda rows: (found[0][rows], found[1][rows]), most)
        assert len(chosen.rows) <= max(most, 6) and len(chosen.rows) == min(most, 120)
        assert set(chosen.nearest.ravel()) | set(chosen.queries) <= set(chosen.rows)
        for query, near in zip(chosen.queries, chosen.nearest, strict=True):
            assert (near == train[found[0][list(test).index(query)]]).all()
    own, cosine = neighbours(feats, feats, np.arange(120))
    assert (own != np.arange(120)[:, None]).all() and (np.diff(cosine) <= 0).all()


def test_similar_classes_are_next_to_each_other():
    labels = np.repeat(np.arange(6), 5)
    means = np.array([[0, 0], [9, 9], [0, 1], [9, 8], [0, .5], [9, 8.5]], float)
    order = order_by_similarity(means[labels], labels, np.arange(6)).tolist()
    assert {frozenset(order[:3]), frozenset(order[3:])} == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}


def test_raw_coordinates_find_a_moved_copy(tmp_path):
    store = SkeletonStore(write_tiny_store(tmp_path / 's', 'kinect20', 1, samples=20))
    with StoreWriter(tmp_path / 'c', 'kinect20', classes=store.classes, source='test') as writer:
        for i in range(20):
            writer.add(f'a{i}', store.keypoints(i), int(store.labels[i]))
        for i in range(20):
            writer.add(f'b{i}', store.keypoints(i) + np.float32([3, 0, 1]), int(store.labels[i]))
    copy = SkeletonStore(str(tmp_path / 'c'))
    assert (raw_neighbours(copy, np.arange(20), np.arange(20, 40)) == store.labels).all()


def test_sizes(tmp_path):
    """500 clips of 25 joints and two seconds, with noise that cannot be compressed, and 2,000 of them."""
    from mmskelssl.datasets.toy.store import write_toy_store
    write_toy_store(str(tmp_path / 'toy'), num_samples=100)
    store = SkeletonStore(str(tmp_path / 'toy'))
    packer = ClipPacker.of_store(store)
    each = np.mean([len(json.dumps(packer.pack(store.keypoints(i)))) for i in range(100)])
    fixed = sum(map(len, pages.bokeh_scripts())) + 1_200_000  # charts, views, masks and tables
    assert 500 * each + fixed < 6e6 and 2000 * (each + 400) + fixed < 15e6


def test_browser_of_a_store(hostile_store, tmp_path, capsys):
    page = Page(build_browser(SkeletonStore(hostile_store), range(10)))
    assert page.data['clips']['name'][0] in HOSTILE and [tag for tag, _ in page.tags].count('script') == 4
    main(['browse', hostile_store, '--html', '--out', str(tmp_path / 'out')])
    assert 'browse.html' in capsys.readouterr().out and (tmp_path / 'out' / 'browse.html').is_file()


@pytest.mark.slow
def test_pages_of_clips_with_the_same_name_as_a_class(report_run, tiny_store, tmp_path):
    """Classes that have the same name stay apart in charts, whose rows Bokeh identifies by name."""
    page = report(report_run, data=rename(tiny_store, tmp_path / 's', classes=['same', 'same', 'same', 'other']))
    assert 'same (2)' in json.dumps(page.data['charts']['per-class'])
