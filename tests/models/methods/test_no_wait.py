"""A step on a device mixes no devices, never makes the host wait for a value, and copies from the host once, at build.

Meta tensors take the place of a GPU.
"""
import pytest
import torch
from contract_methods import METHODS, QUEUED, batch, build
from device_watch import Watched

from mmskelssl.augment import build_augments
from mmskelssl.datasets.batch_pipeline import StoredClips
from mmskelssl.datasets.preprocessing import build_transform
from mmskelssl.datasets.transforms.clip_batch import ClipBatch
from mmskelssl.layouts import get_layout
from mmskelssl.models import Progress
from mmskelssl.models import preprocessor as preprocessor_module
from mmskelssl.registry import BATCH_AUGMENTS


@pytest.fixture(autouse=True)
def cpu_generator(monkeypatch):
    """Meta tensors have no generator, so all draws come from one of the CPU, whose numbers are not used."""
    monkeypatch.setattr(preprocessor_module.SkeletonPreprocessor, 'generator',
                        lambda self, device: torch.Generator().manual_seed(0))


def on_device(data):
    return dict(inputs=data['inputs'].to('meta'),
                data_samples={name: value.to('meta') for name, value in data['data_samples'].items()})


def step(model, data):
    views = model.data_preprocessor(data, True)
    total = sum(value for name, value in model(**views, mode='loss').items() if 'loss' in name)
    total.backward()


def watched_step(method, absent='encode', **options):
    torch.manual_seed(0)
    model = build(method, **options).to('meta')
    for module in model.modules():
        if hasattr(module, 'absent'):
            module.absent = absent
    model.data_preprocessor.cast_data = lambda data: data  # the clips are on the device already
    data = on_device(batch(4))
    for iteration in range(2):  # the first step makes the constants
        model.set_progress(Progress(0, iteration, 10))
        with Watched() as watched:
            step(model, data)
    return watched.total()


@pytest.mark.parametrize('method', METHODS)
def test_a_step_never_waits(method):
    options = dict(in_batch=True) if method in QUEUED else {}
    if method == 'ActCLR':
        options['contrast_weight'] = 1.
    assert watched_step(method, **options) == {}


def test_skipped_persons_are_not_read():
    assert watched_step('AimCLR', 'skip') == {}


@pytest.mark.slow
def test_options_of_actclr():
    options = dict(mask='random', threshold='relative', anchor='running', stream='bone')
    assert watched_step('ActCLR', **options) == {}


@pytest.mark.parametrize('name', sorted(name for name, kind in BATCH_AUGMENTS.module_dict.items()
                                        if kind.__module__.startswith('mmskelssl.')))
def test_augmentations_never_wait(name):
    augment = build_augments([dict(type=name, **{} if name == 'PickPerson' else dict(p=.5))], 'ntu25')[0]
    x = torch.empty(4, 3, 24, 25, 2, device='meta')
    for _ in range(2):
        with Watched() as watched:
            made = augment(x, torch.Generator())
    assert made.shape == (*x.shape[:4], 1 if name == 'PickPerson' else 2) and watched.total() == {}


@pytest.mark.parametrize('options', [dict(type='PickPerson', origin='spine'), dict(type='Rescale', by='limb', p=.5),
                                     dict(type='CropResize', frames=16, least=8, sample=True)],
                         ids=lambda options: options['type'])
def test_options_of_augmentations(options):
    augment = build_augments([options], 'ntu25')[0]
    for _ in range(2):
        with Watched() as watched:
            augment(torch.empty(4, 3, 24, 25, 2, device='meta'), torch.Generator())
    assert watched.total() == {}


def test_what_is_recorded():
    x = torch.empty(4, 3, device='meta')
    with Watched() as watched:
        x.mean().item(), x.nonzero(), x[x > 0], x.cpu(), bool(x.sum() > 1)
        torch.tensor([1., 2.], device='meta'), torch.ones(3).to('meta'), x[:, [0, 1]]
        x * torch.tensor(2.)
    found = watched.total()
    assert {kind: sum(places.values()) for kind, places in found.items()} == dict(read=5, copy=3, mixed=1)


@pytest.mark.parametrize('scored', [False, True])
@pytest.mark.parametrize('steps', [
    [dict(type='FillUnseen'), dict(type='SelectPersons', by='energy'), dict(type='PreNormalize3D')],
    [dict(type='SelectPersons'), dict(type='Center'), dict(type='AlignShoulders'), dict(type='FitRange')],
    [dict(type='SelectPersons'), dict(type='AlignSequence', middle=True), dict(type='PadFrames', frames=9)]])
def test_preprocessing_on_a_device_never_waits(steps, scored):
    """The clips as stored are copied to the device, and nothing else."""
    pipeline = [*steps, dict(type='ResizeFrames', frames=6), dict(type='PackSkeleton', scores=scored)]
    clips = ClipBatch(torch.rand(4, 3, 8, 25, 2), get_layout('ntu25'), torch.tensor([8, 3, 5, 1]),
                      scores=torch.rand(4, 1, 8, 25, 2) if scored else None)
    stored = StoredClips([clips, clips], torch.arange(8), build_transform(pipeline).transforms).to('meta')
    with Watched() as watched:
        made, frames = stored.prepared()
    assert watched.total() == {} and made.is_meta and made.shape == (8, 3 + scored, 6, 25, 2) and frames.shape == (8,)
