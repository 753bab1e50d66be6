"""Put the parts of the report together."""
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmskelssl.datasets.store.near import Near
from mmskelssl.doctor.finding import FAULT, NOTE, OK, Finding
from mmskelssl.doctor.run_health import check_run
from mmskelssl.doctor.store_health import MOST_NEAR, NOT_SEARCHED, check_store
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import FeatureBank
from mmskelssl.evaluation.splits import SplitPair
from mmskelssl.inference.timeline import Timeline
from mmskelssl.report.charts import Chart
from mmskelssl.report.clips import ClipPacker, skeleton
from mmskelssl.report.confusion import confusion
from mmskelssl.report.curves import curve_charts
from mmskelssl.report.data import data_part
from mmskelssl.report.earlier import earlier_results
from mmskelssl.report.feature_map import colourings, map_part, projections
from mmskelssl.report.head import accuracy_table, cards, facts, subtitle, title
from mmskelssl.report.masks import CLIPS, mask_part, masks_of_sources
from mmskelssl.report.measures import Measured, measure_sources
from mmskelssl.report.neighbours import neighbour_part, same_movements
from mmskelssl.report.page import render
from mmskelssl.report.recording import recording_part
from mmskelssl.report.selection import Selection, neighbours, select
from mmskelssl.report.shown import Shown
from mmskelssl.report.sources import Source, class_names
from mmskelssl.report.views import view_part

MOST = 1000  # clips on a page by default
ORDER = ('summary', 'curves', 'map', 'neighbours', 'confusion', 'masks', 'views', 'data', 'recording')


@dataclass
class _Page:
    """What the parts have contributed so far."""
    parts: list[tuple[str, str]] = field(default_factory=lambda: [('summary', 'Summary')])
    context: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, key: str, title: str, context: dict, data: dict | None = None, charts: Sequence[Chart] = ()) -> None:
        self.parts.append((key, title))
        self.context.update(context)
        self.data.update(data or {})
        self.charts += charts

    def note(self, texts: Sequence[str], level: str = NOTE) -> None:
        self.findings += [Finding(level, text) for text in texts if text]


def build_report(sources: list[Source], pair: str | None = None, most: int = MOST, seed: int = 0,
                 timeline: Timeline | None = None) -> bytes:
    """Return the page.

    Args:
        sources: Runs and models, the first of which the clips are about.
        pair: ``TRAIN:TEST`` splits. By default, those of the encoder's training.
        most: Largest number of clips on the page.
        seed: Seed of probes, projections and clusters.
        timeline: A recording, classified window by window.

    Raises:
        UserError: If there are neither clips nor curves to show.
    """
    if most < 1:
        raise UserError(f'--clips {most}: expected 1 or more')
    first, page = sources[0], _Page()
    charts, problems, staged = curve_charts(sources)
    if charts:
        page.add('curves', 'Curves', dict(curves=charts, stages=staged), charts=charts)
    for source in sources:
        page.note([f'{source.name}: {problem}' if len(sources) > 1 else problem for problem in source.problems], FAULT)
    if not charts and first.store is None and timeline is None:
        raise UserError('; '.join([*first.problems, *problems]) or f'{first.path}: there is nothing to show')
    page.findings += _health(first)
    measured = Measured([], {}, None, [])
    if first.store is not None:
        measured = _clips(page, first, sources, pair, most, seed)
    if timeline is not None:
        _recording(page, timeline)
    earlier, unread = earlier_results(sources)
    page.context['earlier'] = earlier
    page.note([*measured.notes, *unread])
    return _render(page, sources, measured)


def _health(source: Source) -> list[Finding]:
    """Return what doctor finds wrong with the run and the store."""
    found: list[Finding] = []
    if source.is_run:
        try:
            found += check_run(source.path)
        except UserError as error:
            found.append(Finding(NOTE, str(error)))
    elif source.store is not None:
        found += check_store(source.store.path, False)
    return [one for one in found if one.level != OK and NOT_SEARCHED not in one.what]


def _clips(page: _Page, first: Source, sources: list[Source], pair_text: str | None, most: int,
           seed: int) -> Measured:
    """Add the parts about clips."""
    store = first.store
    assert store is not None
    pair = first.pair(pair_text)
    alike = [source for source in sources if source.store is not None and source.store.data_hash == store.data_hash]
    page.note([f'{source.name} has other data than {first.name}: only its curves are shown'
               for source in sources if source.store is not None and source not in alike])
    banks = [source.bank() for source in alike]
    measured = measure_sources(alike, banks, pair, seed)
    selection, features = _selection(banks[0], store, pair, most)
    same, searched, where = _same(store, selection, pair)
    if pair and same:
        page.note([f'leak: {len(same)} of {searched} clips of {pair.test!r}{where} show the same movement as a '
                   f'clip of {pair.train!r}'], FAULT)
    shown = Shown(store, selection, pair, measured.predictions)
    own = np.stack([features[int(row)] for row in selection.rows])
    groups, notes = colourings(store, selection.rows, own, measured.predictions, shown.splits, seed)
    places, more = projections(own, seed)
    page.note([*notes, *more])
    page.add('map', 'Map', *map_part(shown, groups, places))
    if selection.nearest.shape[1]:
        page.add('neighbours', 'Neighbours', *neighbour_part(shown, same))
    if measured.predictions:
        found = confusion(measured.predictions, np.stack([features[int(row)] for row in measured.predictions.rows]),
                          class_names(store), shown.place)
        page.add('confusion', 'Confusion', dict(confusion=found), dict(
            cells=found['cells'], surest=[one['clip'] for one in found['surest']],
            unsure=[one['clip'] for one in found['unsure']]), [found['chart']] if found['chart'] else [])
    _masks_and_views(page, first, alike, shown)
    part = data_part(store, same, searched, where, shown.names, shown.place)
    page.add('data', 'Data', dict(data_part=part), charts=part['charts'])
    return measured


def _selection(bank: FeatureBank, store, pair: SplitPair | None, most: int) -> tuple[Selection, dict[int, np.ndarray]]:
    """Choose the clips of the page. Also return the features of all clips of the splits by position."""
    test, train = (store.split(name) for name in ((pair.test, pair.train) if pair else ('all', 'all')))
    queries, gallery = (bank[name].feats for name in ((pair.test, pair.train) if pair else ('all', 'all')))
    where = {int(row): i for i, row in enumerate(train)}
    same = np.array([where.get(int(row), -1) for row in test])
    selection = select(test, train, lambda rows: neighbours(queries[rows], gallery, same[rows]), most)
    features = {int(row): feature for rows, feats in ((train, gallery), (test, queries))
                for row, feature in zip(rows, feats, strict=True)}
    return selection, features


def _same(store, selection: Selection, pair: SplitPair | None) -> tuple[dict[int, Near], int, str]:
    """Return the same movements, and how many clips were searched where: in the whole splits, unless they are large."""
    test, train = (store.split(name) for name in ((pair.test, pair.train) if pair else ('all', 'all')))
    if len(np.union1d(test, train)) <= MOST_NEAR:
        return same_movements(store, test, train), len(test), ''
    rows = np.intersect1d(selection.rows, train)
    return same_movements(store, selection.queries, rows), len(selection.queries), ' on this page'


def _masks_and_views(page: _Page, first: Source, alike: list[Source], shown: Shown) -> None:
    store, place, packer = shown.store, shown.place, shown.packer
    chosen = _one_per_class(store.labels, shown.selection.queries, CLIPS)
    masks, notes = masks_of_sources(alike, chosen)
    page.note(notes)
    if masks:
        part = mask_part(masks, chosen, [store.keypoints(int(row)) for row in chosen], place, packer,
                         list(store.layout.joints))
        page.add('masks', 'Masks', {}, dict(masks=part))
    if first.is_run:
        views, notes = view_part(first, chosen, place, packer)
        page.note(notes)
        if views:
            page.add('views', 'Views', {}, dict(views=views))


def _one_per_class(labels: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Return clips of different classes as far as possible, in ascending order."""
    seen: dict[int, int] = {}
    turns = []
    for row in rows:
        label = int(labels[row])
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    return np.sort(rows[np.argsort(turns, kind='stable')[:count]])


def _recording(page: _Page, timeline: Timeline) -> None:
    part = recording_part(timeline, lambda clips: ClipPacker(
        clips.layout, [np.asarray(clips.read(0)[0])], 'm', timeline.windows[0].fps))
    page.add('recording', 'Recording', dict(recording=part), dict(
        recordingSkeleton=skeleton(timeline.clips.layout),
        tracks=[{key: track[key] for key in ('key', 'title', 'clip', 'starts')} for track in part['tracks']]),
        [track['chart'] for track in part['tracks']])


def _render(page: _Page, sources: list[Source], measured: Measured) -> bytes:
    page.parts.sort(key=lambda part: ORDER.index(part[0]))
    page.data['charts'] = {chart.key: chart.item for chart in page.charts if chart.item}
    return render('report.html', 'report', page.data, ['player.js', 'theme.js', 'report.js'], True,
                  title=title(sources), subtitle=subtitle(sources[0]), parts=page.parts, cards=cards(measured),
                  facts=facts(sources[0]), findings=sorted(page.findings, key=lambda one: one.level != FAULT),
                  accuracy=accuracy_table(measured), **page.context)
