"""The encoders that ship with the package: small, with cards, and found under the names that the documents give."""
import re
from pathlib import Path

import numpy as np
import pytest

from mmskelssl.apis import FeatureExtractor
from mmskelssl.inference.saved.hub import ZOO, zoo_names
from mmskelssl.inference.saved.read import read_config
from mmskelssl.layouts import get_layout
from tests.conftest import random_clip

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ['README.md', *sorted(f'docs/{page.name}' for page in (ROOT / 'docs').glob('*.md'))]


@pytest.mark.parametrize('page', DOCUMENTS)
def test_names_in_the_documents_exist(page):
    names = set(re.findall(r'\bzoo/(simclr[\w-]*)', (ROOT / page).read_text(encoding='utf-8')))
    assert names <= set(zoo_names())


@pytest.mark.parametrize('name', zoo_names())
def test_an_encoder(name):
    folder = ZOO / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2 << 20
    extractor = FeatureExtractor.from_pretrained(f'zoo/{name}', 'cpu')
    clips = [random_clip(np.random.default_rng(i), get_layout(extractor.layout), 1, 30) for i in range(3)]
    feats = extractor(clips)
    assert feats.shape == (3, extractor.model.feat_channels) and len(np.unique(feats, axis=0)) == 3
    card, info = (folder / 'README.md').read_text(), read_config(str(folder))['members'][0]
    assert name.endswith(info['stream']) and info['epoch'] == 300 and info['config_hash'] in card
    assert re.search(r'\| test \| linear logreg \| \d\d\.\d \(\d\d\.\d–\d\d\.\d\) \| \d+ \|', card)
    assert 'Licence of the training data: none is stated' in card and 'float16' in card
