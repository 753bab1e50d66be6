"""Reads a page of the report, for its tests."""
import json
import re
from html.parser import HTMLParser

from mmskelssl.report.build import build_report
from mmskelssl.report.sources import open_sources

ALL = ['summary', 'curves', 'map', 'neighbours', 'confusion', 'masks', 'views', 'data']


class Page(HTMLParser):
    """The parts of a page, its text, and its elements with their attributes."""

    def __init__(self, content: bytes):
        super().__init__()
        self.sections, self.tags, self.text = [], [], ''
        self.feed(content.decode())
        self.data = json.loads(re.search(r'id="page-data">(.*?)</script>', content.decode(), re.S)[1])
        self.bare_headers = re.findall(r'<th[^>]*>(?:<bdi></bdi>)?</th>', content.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == 'section':
            self.sections.append(dict(attributes).get('id'))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] not in ('script', 'style'):
            self.text += f' {" ".join(data.split())}'


def report(*paths, data=None, **options) -> Page:
    return Page(build_report(open_sources(list(map(str, paths)), data), **options))
