"""Write a page: one HTML file that loads nothing.

Names come from files. Jinja escapes them, the scripts set them as text, and the page's policy lets no other script run
than its own, which it names by their hashes.
"""
import base64
import hashlib
import json
import os
import os.path as osp
from collections.abc import Sequence

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError
from mmskelssl.provenance import command_line, now, versions
from mmskelssl.shipped import PACKAGE

TEMPLATES = PACKAGE / 'report' / 'templates'
_GENERATOR = b'<meta name="generator" content="mmskelssl '


def render(template: str, kind: str, data: dict, scripts: Sequence[str], charts: bool, **context) -> bytes:
    """Return a page.

    Args:
        template: Name of its template.
        kind: What the page is, for :func:`check_place`.
        data: For the scripts, as ``page-data``.
        scripts: Names of its scripts.
        charts: Whether it has charts, which need Bokeh.
        **context: For the template.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True)
    code = [*(bokeh_scripts() if charts else []), *(_asset(name) for name in scripts)]
    code = [script.replace('</script', r'<\/script') for script in code]
    hashes = ' '.join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
                      for script in code)
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; " \
             "form-action 'none'"
    text = environment.get_template(template).render(
        kind=kind, policy=Markup(policy), style=Markup(_asset('style.css')), scripts=[Markup(s) for s in code],
        data=Markup(to_json(data)), command=command_line(),
        versions=', '.join(f'{name} {number}' for name, number in versions().items()),
        date=now(), **context)
    return text.encode('utf-8', 'replace')


def bokeh_scripts() -> list[str]:
    """Return the part of BokehJS that draws figures, without its widgets, tables and formulas."""
    from bokeh.resources import Resources
    return list(Resources(mode='inline', components=['bokeh'], minified=True, log_level='error').js_raw)


def to_json(data) -> str:
    """Return JSON that ends no element of a page, regardless of the names in it."""
    text = json.dumps(data, allow_nan=False, separators=(',', ':'))
    return text.replace('<', r'\u003c').replace('>', r'\u003e').replace('&', r'\u0026')


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding='utf-8')


def check_place(out: str) -> None:
    """Refuse to write where something else than an earlier page is.

    Raises:
        UserError: If the suffix is not .html, or another file has the name.
    """
    if not out.lower().endswith(('.html', '.htm')):
        raise UserError(f'{out}: the suffix must be .html')
    if not osp.lexists(out):
        return
    if not osp.isfile(out):
        raise UserError(f'{out} is not a file: choose another --out')
    with open(out, 'rb') as file:
        if _GENERATOR not in file.read(1 << 12):
            raise UserError(f'{out} exists and is not a page of mmskelssl: choose another --out')


def write_page(out: str, page: bytes) -> None:
    """Write a page atomically."""
    try:
        write_atomically(out, page)
    except OSError as error:
        raise UserError(f'{out} cannot be written: {error.strerror or error}; choose another --out') from error


def default_place(path: str) -> str:
    """Return where the page about a run or a model goes by default: into its folder."""
    folder = path if osp.isdir(path) else osp.dirname(path)
    if not osp.isdir(path) and not osp.isfile(path):
        raise UserError(f'{path}: add --out FILE.html')
    return osp.join(folder, 'report.html') if folder else os.path.join('.', 'report.html')
