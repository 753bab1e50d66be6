"""The published NTU preprocessing against arrays that the official code wrote (docs/methods.md 0.1)."""
import numpy as np
import pytest

from mmskelssl.datasets.transforms import AlignShoulders, Center, PackSkeleton, ResizeFrames, SelectPersons
from mmskelssl.layouts import get_layout


@pytest.fixture(scope='module')
def arrays(reference):
    return np.load(reference / 'ntu_preprocess_reference.npz', allow_pickle=False)


@pytest.mark.parametrize('frames', [50, 64])
def test_every_step_is_the_official_one(arrays, frames):
    raw = arrays['raw']  # (3, 300, 25, 2), zero frames at the end
    assert raw.any() and 0 < arrays['length'] < raw.shape[1]
    sample = dict(keypoint=np.ascontiguousarray(raw.transpose(3, 1, 2, 0)), frame_dir='reference',
                  total_frames=raw.shape[1], layout=get_layout('ntu25'))
    sample = Center()(SelectPersons(2)(sample))
    assert sample['num_frames'] == arrays['length']
    sample = ResizeFrames(frames)(sample)
    np.testing.assert_allclose(PackSkeleton()(sample)['inputs'], arrays[f'resized{frames}'], rtol=0, atol=5e-7)
    turned = PackSkeleton()(AlignShoulders()(sample))['inputs']
    # float32 angles: processors round arccos, cos and sin differently, by up to 1.3e-6 so far
    np.testing.assert_allclose(turned, arrays[f'out{frames}'], rtol=0, atol=3e-6)
    assert np.abs(turned - arrays[f'resized{frames}']).max() > .1, 'a clip that needs no turning would test nothing'


def test_trailing_zero_frames_change_nothing(arrays):
    def run(raw):
        sample = dict(keypoint=np.ascontiguousarray(raw.transpose(3, 1, 2, 0)), layout=get_layout('ntu25'))
        for step in (Center(), ResizeFrames(50), AlignShoulders(), PackSkeleton()):
            sample = step(sample)
        return sample['inputs']

    raw = arrays['raw']
    np.testing.assert_array_equal(run(raw), run(raw[:, :int(arrays['length'])]))
