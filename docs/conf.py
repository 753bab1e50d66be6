"""Settings of the site, which Sphinx builds from the pages of the repository: python -m sphinx -c docs -W . site

The source folder is the root of the repository, so that links between pages, README.md and CONTRIBUTING.md work here
as they do on GitHub. What only the site has is added to the pages while they are read: the navigation, the reference
below docs/api.md, and notebooks as Markdown.
"""
import json
import re
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # autodoc imports the package

# The two roads of the README, then what both need. Pages that are not listed follow in the last section.
NAVIGATION = {
    'I have clips': ['docs/notebooks/quickstart', 'docs/notebooks/own_data', 'docs/data', 'docs/data_mocap',
                     'docs/browse', 'docs/small_data', 'docs/report', 'docs/predict', 'docs/python', 'docs/commands'],
    'I do research': ['docs/train', 'docs/scale', 'docs/evaluate', 'docs/add_a_method', 'docs/add_a_dataset',
                      'docs/reproduce', 'docs/results'],
    'Methods': ['docs/methods'],
    'Reference': ['docs/faq', 'docs/api', 'docs/architecture', 'docs/reliability', 'docs/performance', 'SECURITY',
                  'CONTRIBUTING', 'CHANGELOG']}

project = 'mmskelssl'
copyright = author = 'The mmskelssl developers'
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
root_doc = 'README'
source_suffix = {'.md': 'markdown', '.ipynb': 'markdown'}
include_patterns = ['docs/**', '*.md']
exclude_patterns = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name != 'docs']
myst_heading_anchors = 4
highlight_language = 'bash'
html_theme = 'furo'
html_title = 'mmskelssl'
html_copy_source = False
autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False
napoleon_use_rtype = False


def pages_of(section: str) -> list[str]:
    """Return the names of a section's pages, without suffix."""
    listed = {page for pages in NAVIGATION.values() for page in pages}
    found = sorted(str(path.relative_to(ROOT).with_suffix('')) for path in (ROOT / 'docs').rglob('*')
                   if path.suffix in source_suffix)
    others = [page for page in found if page not in listed]
    methods = [page for page in others if page.startswith('docs/methods/')]
    rest = [page for page in others if page not in methods]
    return NAVIGATION[section] + dict(Methods=methods, Reference=rest).get(section, [])


def navigation() -> str:
    """Return the table of contents, which the theme shows in the sidebar."""
    return ''.join(f'\n```{{toctree}}\n:caption: {section}\n:hidden:\n:titlesonly:\n\n' + '\n'.join(pages_of(section))
                   + '\n```\n' for section in NAVIGATION)


def reference(page: str) -> str:
    """Return a section for each module that the table of the page names."""
    return ''.join(f'\n## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n'
                   for module in re.findall(r'^\| `([\w.]+)`', page, re.M))


def notebook_as_markdown(text: str) -> str:
    """Return the cells of a notebook and their outputs: text and pictures."""
    blocks = []
    for cell in json.loads(text)['cells']:
        source = ''.join(cell['source'])
        blocks.append(source if cell['cell_type'] == 'markdown' else f'```python\n{source}\n```')
        for output in cell.get('outputs', ()):
            data = output.get('data', {'text/plain': output.get('text', '')})
            if 'image/png' in data:
                blocks.append(f'![output](data:image/png;base64,{"".join(data["image/png"]).strip()})')
            else:
                plain = re.sub('\x1b\\[[0-9;]*m', '', ''.join(data['text/plain']))  # without the colours of a terminal
                blocks.append(f'```text\n{plain.rstrip()}\n```')
    return '\n\n'.join(blocks) + '\n'


def complete(app, name: str, source: list[str]) -> None:
    """Add to a page what only the site has."""
    if app.env.doc2path(name).suffix == '.ipynb':
        source[0] = notebook_as_markdown(source[0])
    elif name == root_doc:
        source[0] += navigation()
    elif name == 'docs/api':
        source[0] += reference(source[0])


def write_index(app, error) -> None:
    """Lead from the address of the site to its front page."""
    if error is None and app.builder.format == 'html':
        (Path(app.outdir) / 'index.html').write_text('<meta http-equiv="refresh" content="0; url=README.html">\n')


def setup(app) -> None:
    app.add_lexer('imports', TextLexer)  # the list of docs/architecture.md that a test reads
    app.connect('source-read', complete)
    app.connect('build-finished', write_index)
