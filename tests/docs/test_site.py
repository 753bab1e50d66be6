"""The site builds without a warning: no link is broken, no page is left out, and every docstring can be read."""
import io
import json
import sys

import pytest
from doc_commands import ROOT

# Sphinx 9 announces what its extensions have to change for Sphinx 11.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore::PendingDeprecationWarning')]
for package in ('sphinx', 'myst_parser', 'furo'):
    pytest.importorskip(package, reason=f'no {package}: pip install -r requirements/docs.txt')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The folder of the site and the warnings of the build."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils
    out, warnings, path = tmp_path_factory.mktemp('site'), io.StringIO(), list(sys.path)
    with patch_docutils(ROOT / 'docs'), docutils_namespace():
        app = Sphinx(ROOT, ROOT / 'docs', out, out / '.doctrees', 'html', status=None, warning=warnings)
        app.build()
    sys.path[:] = path
    return out, warnings.getvalue()


def test_there_is_no_warning(site):
    assert not site[1]


def test_every_page_is_there(site):
    sources = [*(ROOT / 'docs').rglob('*.md'), *(ROOT / 'docs').rglob('*.ipynb'), *ROOT.glob('*.md')]
    for source in sources:
        assert (site[0] / source.relative_to(ROOT).with_suffix('.html')).is_file(), source
    assert 'url=README.html' in (site[0] / 'index.html').read_text()


def test_the_front_page_lists_both_roads_in_order(site):
    front = (site[0] / 'README.html').read_text(encoding='utf-8')
    sections = ('I have clips', 'I do research', 'Methods', 'Reference')
    places = [front.index(f'caption-text">{section}<') for section in sections]
    assert places == sorted(places) and 'href="docs/notebooks/quickstart.html"' in front


def test_the_reference_comes_from_docstrings(site):
    page = (site[0] / 'docs' / 'api.html').read_text(encoding='utf-8')
    for name in ('apis.train', 'models.methods.ActCLR', 'models.losses.nt_xent', 'layouts.get_layout'):
        assert f'id="mmskelssl.{name}"' in page, name


def test_notebooks_are_shown_with_their_outputs(site):
    notebook = json.loads((ROOT / 'docs' / 'notebooks' / 'quickstart.ipynb').read_text(encoding='utf-8'))
    page = (site[0] / 'docs' / 'notebooks' / 'quickstart.html').read_text(encoding='utf-8')
    pictures = [output for cell in notebook['cells'] for output in cell.get('outputs', ())
                if 'image/png' in output.get('data', {})]
    assert pictures and page.count('src="data:image/png;base64,') == len(pictures)


def test_the_search_knows_words_of_all_kinds_of_pages(site):
    index = (site[0] / 'searchindex.js').read_text(encoding='utf-8')
    for word in ('actionlet', 'queue', 'docs/api', 'docs/notebooks/own_data', 'docs/faq'):
        assert word in index, word
