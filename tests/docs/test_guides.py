"""The commands in docs/add_a_*.md run as they stand, shortened, in order; the files that the pages name exist."""
import re
from pathlib import Path

import pytest
from doc_commands import ROOT, commands, read, run, shorten

from mmskelssl.datasets.toy.store import write_toy_store

GUIDES = ['docs/add_a_method.md', 'docs/add_a_dataset.md', 'docs/evaluate.md']
PAGES = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md',
         *(str(page.relative_to(ROOT)) for page in sorted((ROOT / 'docs').rglob('*.md')))]


@pytest.fixture
def place(tmp_path):
    write_toy_store(tmp_path / 'toy', num_samples=48, seed=1, subjects=4)
    return tmp_path


def test_the_example_arrays_fill_a_batch():
    """Other tests shorten the batches of the commands."""
    page = read('docs/add_a_dataset.md')
    command = next(line for line in commands(page) if 'data.store=work_dirs/arrays' in line)
    size = re.search(r'train_dataloader.batch_size=(\d+)', command)
    clips = re.search(r'The example has (\d+) training clips', page)
    assert size and clips and int(size[1]) <= int(clips[1])


@pytest.mark.slow
def test_data_commands(tmp_path, monkeypatch, warm_python):
    """The commands of docs/data.md run in order, because earlier ones write the raw files of later ones."""
    for command in commands(read('docs/data.md')):
        if '/toy --out' in command or command.endswith('toy --out data/toy'):
            command = command.replace('prepare_data.py toy', 'prepare_data.py toy --samples 32')
        run(command.replace('data/toy', f'{tmp_path}/toy').replace('work_dirs/', f'{tmp_path}/'), monkeypatch,
            warm_python)
    assert (tmp_path / 'stats.png').stat().st_size > 10_000 and (tmp_path / 'ntu60' / 'index.json').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('guide', GUIDES)
def test_commands(guide, place, monkeypatch, warm_python):
    found = commands(read(guide))
    for command in found:
        run(shorten(command, place), monkeypatch, warm_python)
    trained = [command for command in found if 'tools/train.py' in command]
    assert trained and len(list(place.glob('*/epoch_1.pth'))) == len(trained)


@pytest.mark.parametrize('guide', GUIDES)
def test_files_that_are_named_exist(guide):
    names = re.findall(r'`((?:\w+/)+[\w.]*)`', read(guide))
    assert names
    for name in names:
        there = any((ROOT / folder / name).exists() for folder in ('', 'examples/plugin', 'mmskelssl/models'))
        assert there or 'foo' in name or name.startswith('work_dirs/'), name


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub creates them."""
    heads = re.findall(r'^#+ (.*)$', page.read_text(encoding='utf-8'), re.M)
    return {re.sub(r'[^\w\- ]', '', head.lower()).replace(' ', '-') for head in heads}


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', read(page)):
        if '://' in target:
            continue
        name, _, anchor = target.partition('#')
        there = (ROOT / page).parent / name if name else ROOT / page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize('page', PAGES)
def test_a_page_has_one_title(page):
    """The navigation of the site shows every title."""
    text = re.sub(r'^```.*?^```', '', read(page), flags=re.M | re.S)
    assert len(re.findall('^# ', text, re.M)) == 1
