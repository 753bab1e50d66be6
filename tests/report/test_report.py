"""The report of runs and models: what is on the page, and how names and the command behave."""
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile_store import HOSTILE, rename
from read_page import ALL, Page, report

from mmskelssl.cli import main
from mmskelssl.datasets import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.inference.clips import clips_in_memory
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.report import page as pages
from mmskelssl.report.browse import build_browser
from mmskelssl.report.build import build_report
from mmskelssl.report.recording import timeline_of
from mmskelssl.report.sources import open_sources
from tests.conftest import random_clip


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
    assert page.bare_headers == []
    assert all(attributes['href'].startswith('#') for _, attributes in page.tags if 'href' in attributes)


@pytest.mark.slow
def test_several_runs_share_figures(report_run, tmp_path):
    shutil.copytree(report_run, tmp_path / 'other')
    page = report(report_run, tmp_path / 'other')
    assert page.data['masks']['names'] == ['run (SkeAttnCLR)', 'other (SkeAttnCLR)']
    assert 'run and other' in page.text and page.text.count('untrained encoder') >= 1
    with pytest.raises(UserError, match='a run is named twice'):
        open_sources([report_run, report_run + '/'])


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
