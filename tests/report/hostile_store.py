"""Stores whose names contain markup, scripts and other directions."""
import json
import shutil
from pathlib import Path

from mmskelssl.datasets.store.columns import write_columns

HOSTILE = ['<img src=x onerror="hacked=1">', '</script><script>hacked=1</script>', '\u202eright to left',
           '$$\\frac{1}{2}$$ {{ 7*7 }} 😀 \'"&amp;']


def rename(store: str, out: Path, ids=str, classes: list[str] | None = None, splits=str) -> str:
    """Copy a store and give its samples, classes and splits other names."""
    shutil.copytree(store, out, ignore=shutil.ignore_patterns('cache', '*cache*'))
    file = out / 'index.json'
    index = json.loads(file.read_text())
    for sample in index['samples']:
        sample['id'] = ids(sample['id'])
    index['splits'] = {splits(name): [ids(sample) for sample in names] for name, names in index['splits'].items()}
    index['classes'] = index['classes'] if classes is None else classes
    file.write_text(json.dumps(index))
    write_columns(str(out), index)
    return str(out)
