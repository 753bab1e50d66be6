"""The report in headless Chromium. The names of its clips and classes are hostile.

Skipped without Playwright, or without a Chromium: ``apt-get install chromium``, or ``playwright install chromium``.
"""
import shutil

import numpy as np
import pytest
from hostile_store import HOSTILE
from PIL import Image
from recordings import make_timeline

from mmskelssl.datasets import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.report.browse import build_browser
from mmskelssl.report.build import build_report
from mmskelssl.report.sources import Source, open_sources
from tools.analysis.report_pictures import PICTURES, take

api = pytest.importorskip('playwright.sync_api', reason='Playwright is not installed')
WIDE, NARROW = dict(width=1440, height=900), dict(width=375, height=800)
# The place of clip i on the screen.
PLACE = """(i) => {
    const view = [...Bokeh.index].find((view) => view.model.name === 'map'), box = view.el.getBoundingClientRect();
    const {x, y} = view.model.document.get_model_by_name('map-clips').data;
    return [box.x + view.frame.x_scale.compute(x[i]), box.y + view.frame.y_scale.compute(y[i])];
}"""
# Busy machines draw a frame a second, so tests wait for a change.
SHOWN = """(id) => { const {player} = document.getElementById(id); return player.clip && player.visible; }"""
MOVED = """(id) => { const now = document.getElementById(id).toDataURL(); window.before = window.before || now;
    return now.length > 1000 && now !== window.before; }"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def chromium():
    found = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=['--no-sandbox', '--disable-gpu'])
        except api.Error as error:
            pytest.skip(f'no Chromium: apt-get install chromium ({str(error).splitlines()[0]})')
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def file(report_run, hostile_store, tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'report.html'
    path.write_bytes(build_report(open_sources([report_run], hostile_store)))
    return path


class Visit:
    """A page in the browser, with what went wrong on it."""

    def __init__(self, chromium, path, size=WIDE, scheme='light', init='', **options):
        self.context = chromium.new_context(viewport=size, color_scheme=scheme, **options)
        self.page, self.wrong = self.context.new_page(), []
        self.page.set_default_timeout(60_000)
        self.page.on('console', lambda message: self.wrong.append(message.text)
                     if message.type in ('error', 'warning') else None)
        self.page.on('pageerror', lambda error: self.wrong.append(str(error)))
        self.page.on('dialog', lambda dialog: self.wrong.append(dialog.message))
        self.page.on('request', lambda request: self.wrong.append(request.url)
                     if not request.url.startswith(('file:', 'data:')) else None)
        if init:
            self.page.add_init_script(init)
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        hacked = None if kind else self.page.evaluate('typeof hacked')
        self.context.close()
        if not kind:
            assert self.wrong == [] and hacked == 'undefined'

    def map(self):
        """Scroll to the map and wait until it is drawn."""
        self.page.locator('#map-plot').scroll_into_view_if_needed()
        self.page.wait_for_selector('#map-plot[data-ready]')
        return self.page


def test_everything_loads(chromium, file):
    with Visit(chromium, file) as visit:
        session = visit.context.new_cdp_session(visit.page)
        session.send('Performance.setTimeDomain', dict(timeDomain='threadTicks'))
        session.send('Performance.enable')
        visit.page.reload()
        metrics = {one['name']: one['value'] for one in session.send('Performance.getMetrics')['metrics']}
        assert metrics['TaskDuration'] < 2, metrics  # seconds of computing, regardless of what else the machine does
        for section in visit.page.locator('section').all():
            section.scroll_into_view_if_needed()
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        charts = visit.page.locator('.plot').count()
        visit.page.wait_for_function(f'Report.charts.length === {charts}')
        assert len(visit.page.pdf()) > 20_000


def test_what_is_not_in_view_is_drawn_ahead(chromium, file):
    """Printing does not wait for charts and clips."""
    with Visit(chromium, file, bypass_csp=True) as visit:
        charts = visit.page.locator('.plot').count()
        visit.page.wait_for_function(f'Report.charts.length === {charts}')
        visit.page.wait_for_function("[...document.querySelectorAll('.mini canvas')].every((one) => one.player.clip)")
        assert visit.page.evaluate('scrollY') == 0 and charts > 3
        charts = "[...document.querySelectorAll('[data-chart]')]"
        widths = visit.page.evaluate(f'{charts}.map((one) => one.scrollWidth)')
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        zooms = visit.page.evaluate(f'{charts}.map((one) => Number(one.style.zoom))')
        assert max(widths) > 700 and all(0 < zoom <= 1 and width * zoom <= 661  # pixels of a page
                                         for width, zoom in zip(widths, zooms, strict=True))
        visit.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert not any(visit.page.evaluate(f'{charts}.map((one) => one.style.zoom)'))


@pytest.mark.parametrize('fallback', [False, True], ids=['native', 'without DecompressionStream'])
def test_hovering_plays_a_clip(chromium, file, fallback):
    with Visit(chromium, file, init='delete window.DecompressionStream' if fallback else '') as visit:
        page = visit.map()
        for i in (3, 30):
            page.mouse.move(*page.evaluate(PLACE, i))
            page.wait_for_function(f'Report.chosen === {i}')
            assert page.locator('#map-canvas').get_attribute('data-clip') == page.evaluate(f'Report.page.clips.id[{i}]')
        page.wait_for_function(SHOWN, arg='map-canvas')
        page.wait_for_function(MOVED, arg='map-canvas')
        page.locator('#map-stage .play').click()
        time = 'document.getElementById("map-canvas").player.stage.time'
        stopped = page.evaluate(time)
        page.wait_for_timeout(300)
        assert page.evaluate(time) == stopped
        assert HOSTILE[0] in page.locator('#map-legend').inner_text()


def test_lasso_and_clicks_fill_the_tray(chromium, file):
    with Visit(chromium, file) as visit:
        page = visit.map()
        page.mouse.click(*page.evaluate(PLACE, 5))
        page.wait_for_function('Report.tray.has(5)')
        box = page.locator('#map-plot').bounding_box()
        corners = np.array([[.02, .02], [.98, .02], [.98, .98], [.02, .98], [.02, .03]])
        points = corners * [box['width'], box['height']] + [box['x'], box['y']]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=6)
        page.mouse.up()
        page.wait_for_function('Report.tray.size === 48')
        assert page.locator('#tray-ids').input_value().count('\n') == 47
        assert page.locator('#tray .mini').count() == 12
        page.locator('#tray-clear').click()
        assert page.evaluate('Report.tray.size') == 0


def test_a_cell_opens_its_clips(chromium, file):
    with Visit(chromium, file) as visit:
        cell = visit.page.locator('.matrix [data-cell]').first
        expected = visit.page.evaluate('(key) => Report.page.cells[key].clips', cell.get_attribute('data-cell'))
        cell.click()
        shown = visit.page.locator('#cell-clips .mini')
        assert [int(mini.get_attribute('data-clip')) for mini in shown.all()] == expected
        shown.first.click()
        assert visit.page.evaluate('Report.chosen') == expected[0]
        entry = visit.page.evaluate('(i) => Report.page.neighbours.find((one) => one.clip === i)', expected[0])
        row = [int(mini.get_attribute('data-clip')) for mini in visit.page.locator('#neighbours-row .mini').all()]
        assert row[:6] == [expected[0], *entry['near']]


def test_views_masks_and_search(chromium, file):
    with Visit(chromium, file) as visit:
        page = visit.page
        page.locator('#views-rows').scroll_into_view_if_needed()
        page.locator('#views-draw').click()
        assert page.locator('#views-number').inner_text() == 'draw 2 of 3'
        page.wait_for_selector('#views-rows canvas')
        page.locator('#masks-players').scroll_into_view_if_needed()
        page.wait_for_function("document.querySelectorAll('#masks-table td').length === 6")
        page.locator('#masks-clip').select_option(index=1)
        visit.map()
        page.locator('#map-search').fill('clip017')
        page.locator('#map-results button').first.click()
        assert page.evaluate('Report.page.clips.id[Report.chosen]').startswith('clip017')
        page.locator('#map-colour').select_option(label='error')
        assert 'correct' in page.locator('#map-legend').inner_text()
        page.locator('#theme').click()
        assert page.evaluate("document.documentElement.dataset.theme") == 'dark'


def test_the_keyboard_reaches_everything(chromium, file):
    with Visit(chromium, file) as visit:
        page = visit.map()
        wanted = page.evaluate("""() => [...document.querySelectorAll(
            'a[href], button, select, input, textarea, summary, [tabindex="0"]')].filter((element) =>
            element.checkVisibility() && !element.closest('.bk-Figure')).length""")
        page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0); window.reached = new Set()")
        for _ in range(wanted + 40):
            page.keyboard.press('Tab')
            if page.evaluate('reached.add(document.activeElement).size') >= wanted:
                break
        assert page.evaluate('[...reached].filter((element) => element !== document.body).length') >= wanted
        page.locator('#map-keys').focus()
        before = page.evaluate('Report.chosen')
        for key in ('ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'):
            page.keyboard.press(key)
        assert page.evaluate('Report.chosen') != before or page.locator('#live').inner_text()
        page.keyboard.press('Enter')
        assert page.evaluate('Report.tray.has(Report.chosen)')
        page.locator('#map-canvas').focus()
        azimuth = 'document.getElementById("map-canvas").player.stage.camera.azimuth'
        turned = page.evaluate(azimuth)
        page.keyboard.press('ArrowRight')
        assert page.evaluate(azimuth) > turned
        page.keyboard.press('Space')
        assert not page.evaluate('document.getElementById("map-canvas").player.stage.playing')


def serious_faults(page) -> list:
    """What axe finds on a page whose policy is bypassed, so that its script can be added."""
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='axe is not installed')
    page.evaluate("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    found = axe.Axe().run(page).response['violations']
    return [(one['id'], [node['html'][:200] for node in one['nodes'][:3]]) for one in found
            if one['impact'] in ('serious', 'critical')]


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_accessibility(chromium, file, scheme):
    with Visit(chromium, file, scheme=scheme, bypass_csp=True) as visit:
        assert not serious_faults(visit.map())


@pytest.mark.parametrize('size, scheme, seconds', [(WIDE, 'light', 90), (NARROW, 'dark', 200)],
                         ids=['lines, wide', 'spans, narrow'])
def test_a_recording(chromium, tmp_path, size, scheme, seconds):
    """The timeline follows the skeleton; segments and clicks on the timeline set the clock."""
    path, time = tmp_path / 'recording.html', 'document.getElementById("track-0-canvas").player.stage.time'
    path.write_bytes(build_report([Source('run', 'run')], timeline=make_timeline(seconds, persons=2)))
    with Visit(chromium, path, size, scheme, bypass_csp=True) as visit:
        page = visit.page
        page.locator('#chart-track-0').scroll_into_view_if_needed()
        page.wait_for_function('Report.charts.length > 0')
        page.wait_for_function(SHOWN, arg='track-0-canvas')
        assert page.evaluate('document.documentElement.scrollWidth') <= size['width']
        box = page.locator('#chart-track-0').bounding_box()
        page.mouse.click(box['x'] + box['width'] * .6, box['y'] + box['height'] * .5)
        assert .4 * seconds < page.evaluate(time) < .7 * seconds
        page.wait_for_function(f'Math.abs(Report.charts[0].find("track-time-0").location - {time}) < .5')
        page.locator('[data-of=track-0]').nth(2).click()
        page.wait_for_function(f'{time} > 6.75 && {time} < 30')
        page.wait_for_function(MOVED, arg='track-0-canvas')
        assert not serious_faults(page)


@pytest.mark.parametrize('size, scheme', [(WIDE, 'light'), (NARROW, 'dark')], ids=['wide', 'narrow'])
def test_screenshots(chromium, file, tmp_path, size, scheme):
    with Visit(chromium, file, size, scheme) as visit:
        visit.map()
        assert visit.page.evaluate('document.documentElement.scrollWidth') <= size['width']
        picture = visit.page.screenshot(path=tmp_path / 'page.png', full_page=True)
        assert len(picture) > 50_000


def test_pictures_of_the_docs(chromium, file, tmp_path):
    """They show the map and the confusion matrix, with a clip that is stopped: the same each time."""
    first, second = (tmp_path / name for name in 'ab')
    for out in (first, second):
        out.mkdir()
        assert take(chromium, str(file), str(out)) == [str(out / name) for name in PICTURES]
    for name in PICTURES:
        pictures = [np.asarray(Image.open(folder / name).convert('RGB'), dtype=float) for folder in (first, second)]
        assert pictures[0].shape == pictures[1].shape and (first / name).stat().st_size > 10_000
        assert abs(pictures[0] - pictures[1]).mean() < 1  # but for the edges of lines
    with pytest.raises(UserError, match='no such page'):
        take(chromium, str(tmp_path / 'none.html'), str(first))
    bare = tmp_path / 'recording.html'
    bare.write_bytes(build_report([Source('run', 'run')], timeline=make_timeline(5)))
    with pytest.raises(UserError, match="has no part 'map'"):
        take(chromium, str(bare), str(first))


def test_browser_of_a_store(chromium, hostile_store, tmp_path):
    path = tmp_path / 'browse.html'
    path.write_bytes(build_browser(SkeletonStore(hostile_store), range(30)))
    with Visit(chromium, path, NARROW) as visit:
        page = visit.page
        assert page.evaluate('document.documentElement.scrollWidth') <= 375
        assert page.locator('#clips .mini').count() == 24
        page.locator('#find').fill('clip007')
        assert page.locator('#found').inner_text() == '1 clip'
        page.locator('#clips .mini').click()
        assert page.locator('#canvas').get_attribute('data-clip').startswith('clip007')
        page.locator('#canvas').scroll_into_view_if_needed()
        page.wait_for_function(SHOWN, arg='canvas')
        page.wait_for_function(MOVED, arg='canvas')
