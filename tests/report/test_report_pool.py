"""The page of an encoder that was trained on stores with several layouts."""
import re

import pytest

from mmskelssl.datasets import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.report.build import build_report
from mmskelssl.report.clips import ClipPacker, skeleton
from mmskelssl.report.head import facts
from mmskelssl.report.sources import open_sources
from mmskelssl.report.views import view_part


def views_of(source) -> dict:
    part, notes = view_part(source, source.store.split('train')[:1], dict.fromkeys(range(99), 0),
                            ClipPacker.of_store(source.store))
    assert notes == []
    return part


@pytest.mark.parametrize('data, layouts', [(None, ['ntu25', 'kinect20']), ('kinect', ['kinect20', 'ntu25'])],
                         ids=['first store', 'by name'])
def test_views_of_each_store_of_a_pool(pool_run, tiny_store, tiny_kinect_store, data, layouts):
    (source,) = open_sources([str(pool_run)], data)
    stores = {layout: SkeletonStore(path) for layout, path in (('ntu25', tiny_store), ('kinect20', tiny_kinect_store))}
    assert source.store.data_hash == stores[layouts[0]].data_hash and source.problems == []
    assert re.match(r'tiny \+ kinect; --data chooses', dict(facts(source))['Trained on'])
    own, other = views_of(source)['clips']
    assert 'skeleton' not in own and other['skeleton'] == skeleton(stores[layouts[1]].layout)
    assert [view['title'] for view in own['views']] == [view['title'] for view in other['views']]
    persons = {layout: view['views'][0]['steps'][0]['draws'][0]['shape'][0]
               for layout, view in zip(layouts, (own, other), strict=True)}
    assert persons['kinect20'] == 1  # the pipeline of each store is its own


@pytest.mark.slow
def test_a_page_of_a_pool(pool_run):
    page = build_report(open_sources([str(pool_run)], 'kinect')).decode()
    assert re.findall(r'<section id="(\w+)"', page) == [
        'summary', 'curves', 'map', 'neighbours', 'confusion', 'views', 'data']
    assert 'untrained encoder' in page


def test_a_store_of_the_pool_that_is_gone_is_a_note(pool_run, monkeypatch):
    (source,) = open_sources([str(pool_run)], 'kinect')
    for_store = type(source.pooled).for_store
    monkeypatch.setattr(type(source.pooled), 'for_store', lambda self, name: (_ for _ in ()).throw(
        UserError('no such store')) if name == 'tiny' else for_store(self, name))
    part, notes = view_part(source, source.store.split('train')[:1], dict.fromkeys(range(99), 0),
                            ClipPacker.of_store(source.store))
    assert len(part['clips']) == 1 and notes == ['views of a store of the pool cannot be shown: tiny: no such store']
