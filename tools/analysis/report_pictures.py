"""Make the pictures of a report page that docs/ shows. It needs Playwright and Chromium, as the tests of the page do.

Show a page of the embedded data set, because the clips of other data may not be published:
  mmskelssl train simclr_toy --work-dir work_dirs/simclr_toy && mmskelssl report work_dirs/simclr_toy
  python tools/analysis/report_pictures.py work_dirs/simclr_toy/report.html
"""
import argparse
import io
import os.path as osp
import shutil
from pathlib import Path

from PIL import Image

from mmskelssl.errors import UserError, one_line_errors

PICTURES = {'report_map.png': ('map', 880), 'report_confusion.png': ('confusion', 900)}  # part and largest height
WIDTH = 1180
_STYLE = 'nav { display: none } section { border: 0 !important; margin: 0 !important; padding-top: 14px !important }'


def take(browser, page: str, out: str) -> list[str]:
    """Write the pictures of a page into a folder, and return their paths.

    Args:
        browser: Playwright's.
        page: Path of the page.
        out: Folder.

    Raises:
        UserError: If the page, or a part of it, is missing.
    """
    if not osp.isfile(page):
        raise UserError(f'{page}: no such page; mmskelssl report WORK_DIR writes one')
    view = browser.new_page(viewport=dict(width=WIDTH, height=900), color_scheme='light')
    view.goto(Path(page).resolve().as_uri())
    for part, _ in PICTURES.values():
        if not view.locator(f'#{part}').count():
            raise UserError(f'{page} has no part {part!r}: choose a run with labelled training and test clips')
    view.add_style_tag(content=_STYLE)
    view.locator('#map-plot').scroll_into_view_if_needed()
    view.wait_for_selector('#map-plot[data-ready]')
    _stop_a_clip(view)
    made = [osp.join(out, name) for name in PICTURES]
    for path, (part, height) in zip(made, PICTURES.values(), strict=True):
        view.locator(f'#{part}').scroll_into_view_if_needed()
        box = view.locator(f'#{part}').bounding_box()
        picture = view.screenshot(full_page=True, clip=dict(
            x=0, y=box['y'] + view.evaluate('scrollY'), width=WIDTH, height=min(height, box['height'])))
        Image.open(io.BytesIO(picture)).quantize(64).save(path, optimize=True)
    view.close()
    return made


def _stop_a_clip(view) -> None:
    """Stop a clip, of two persons if there is one, in the middle of its movement: the picture is the same each time."""
    persons = view.evaluate("""() => {
        const persons = Report.page.clips.packed.map((clip) => clip.shape[0]), most = Math.max(...persons);
        Report.choose(persons.indexOf(most));
        return most; }""")
    view.wait_for_function("(persons) => document.getElementById('map-canvas').player.clip?.persons === persons",
                           arg=persons)
    view.evaluate("""() => { const {stage} = document.getElementById('map-canvas').player;
        stage.play(false);
        stage.seek(stage.seconds / 2); }""")
    view.wait_for_timeout(1000)  # until it is drawn


@one_line_errors
def main(args=None) -> None:
    """Run the command."""
    from playwright.sync_api import Error, sync_playwright
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('page', help='page of mmskelssl report')
    parser.add_argument('--out', default='docs/images', help='folder for the pictures, which are replaced')
    arguments = parser.parse_args(args)
    found = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=['--no-sandbox', '--disable-gpu'])
        except Error as error:
            raise UserError(f'no Chromium: apt-get install chromium ({str(error).splitlines()[0]})') from error
        print(*take(browser, arguments.page, arguments.out), sep='\n')


if __name__ == '__main__':
    main()
