"""Turn a batch of clips into model inputs on the device: views, alignment and stream."""
import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.model import BaseDataPreprocessor
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.alignment import align_shoulders, centre_frames
from mmskelssl.augment import STREAMS, BatchAugment, build_augments, stream_channels, to_stream
from mmskelssl.augment.invariant import anchors
from mmskelssl.augment.tree import take_joints
from mmskelssl.datasets.batch_pipeline import StoredClips
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.layouts.union import places
from mmskelssl.models.checks import check_arguments, check_choice, check_integer, check_switch
from mmskelssl.registry import MODELS


def _continues(ops: list) -> bool:
    return bool(ops) and isinstance(ops[0], str)


@MODELS.register_module()
class SkeletonPreprocessor(BaseDataPreprocessor):
    """Move a batch to the device, draw the views, align the clips and convert joints to the selected stream.

    Random draws come from a generator seeded with (seed, rank, iteration), see :meth:`set_progress`. They do not
    depend on the number of workers, on restarts or on random numbers drawn by other code.

    Args:
        layout: Skeleton layout of the clips.
        stream: ``joint``, ``bone``, ``motion`` or ``invariant``. No other option needs to change to switch between
            streams. ``invariant`` has velocities of its own and needs no alignment, so ``alignment`` and ``velocity``
            do not apply to it.
        alignment: ``none`` keeps the clips as returned by the data set. ``frame`` centres every frame and rotates it
            to face the front. ``both`` stacks the two, trajectory and local pose, as input channels (C becomes 2C).
        velocity: Append the difference to the next frame as additional channels (C is doubled).
        views: Augmentations of each named view, in order. The first entry may be the name of another view. The list
            then continues from the clips of that view. A view whose name begins with an underscore only serves others
            to continue from; the method does not see it. Views are drawn in training only.
        keep_absent: Keep absent persons (all zeros) absent in every view. The published noise gives them a body.
        seed: Base seed of the random draws.
        scores: The last channel of the clips is the score of the joints. Augmentations keep it with its joint,
            alignment uses it, and it becomes the last input channel, independent of stream and velocity.
        non_blocking: Copy tensors to the device asynchronously.
        union: Layout of the encoder, if it was trained on several layouts. The last step moves each joint to the
            place of its canonical name there. Joints that ``layout`` lacks are zero.
        num_persons: Number of persons that the encoder takes, if clips may have fewer. The others are zero.
    """

    def __init__(self, layout: str | dict | SkeletonLayout, stream: str = 'joint', alignment: str = 'none',
                 velocity: bool = False, views: dict[str, list] | None = None, keep_absent: bool = False,
                 seed: int = 0, non_blocking: bool = True, scores: bool = False,
                 union: str | dict | SkeletonLayout | None = None, num_persons: int | None = None):
        super().__init__(non_blocking)
        check_choice('data_preprocessor.stream', stream, STREAMS)
        check_choice('data_preprocessor.alignment', alignment, ('none', 'frame', 'both'))
        check_integer('data_preprocessor.seed', seed, 0)
        for name, value in (('velocity', velocity), ('keep_absent', keep_absent), ('non_blocking', non_blocking),
                            ('scores', scores)):
            check_switch(f'data_preprocessor.{name}', value)
        self.layout = get_layout(layout)
        if stream == 'invariant':
            anchors(self.layout)  # refuse a layout without them early
        self.stream, self.alignment, self.velocity = stream, alignment, velocity
        self.keep_absent, self.seed, self.scores = keep_absent, seed, scores
        if num_persons is not None:
            check_integer('data_preprocessor.num_persons', num_persons)
        self.num_persons = num_persons
        self.union = None if union is None else get_layout(union)
        self.places: tuple[int, ...] | None = None
        if self.union is not None:  # the joint after the last one is zero
            self.places = tuple(self.layout.num_joints if joint is None else joint
                                for joint in places(self.layout, self.union))
        self.views: dict[str, list[BatchAugment]] = {}
        self.origin: dict[str, str] = {}
        views = check_arguments('data_preprocessor.views', views, "dict(first=[dict(type='Scale')], second=[])")
        for name, ops in views.items():
            if not isinstance(ops, (list, tuple, type(None))):
                raise UserError(f'data_preprocessor.views.{name} is {ops!r}; it must be a list of augmentations')
        pending = {name: list(ops or []) for name, ops in views.items()}
        while pending:  # views may be listed in any order
            ready = [name for name, ops in pending.items() if not _continues(ops) or ops[0] in self.views]
            if not ready:
                raise UserError('data_preprocessor.views: ' + ', '.join(
                    f'{name!r} continues from {ops[0]!r}' for name, ops in pending.items()) +
                    f', which is not another view; available views: {", ".join(views or ())}')
            for name in ready:
                ops = pending.pop(name)
                if _continues(ops):
                    self.origin[name] = ops.pop(0)
                self.views[name] = build_augments(ops, self.layout)
        self.active = {name: tuple(range(len(ops))) for name, ops in self.views.items()}
        self._generator: torch.Generator | None = None
        self._draw = (get_rank(), 0)

    @property
    def view_names(self) -> list[str]:
        """Names of the views that the method sees."""
        return [name for name in self.views if not name.startswith('_')]

    def set_progress(self, iteration: int) -> None:
        """Set the iteration that is about to run. Given the seed and the rank, the draws depend only on it."""
        self._draw = (get_rank(), iteration)
        self._generator = None

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the generator of the current iteration on ``device``."""
        if self._generator is None or self._generator.device != device:
            state = np.random.SeedSequence((self.seed, *self._draw)).generate_state(1, np.uint64)[0]
            self._generator = torch.Generator(device).manual_seed(int(state >> 1))
        return self._generator

    @staticmethod
    def channels(coordinates: int, alignment: str = 'none', velocity: bool = False, scores: bool = False,
                 stream: str = 'joint') -> int:
        """Return the number of input channels of the backbone for clips with ``coordinates`` per joint.

        Raises:
            UserError: If the stream cannot be made of so many coordinates.
        """
        each = stream_channels(stream, coordinates)
        if stream != 'invariant':
            each *= (2 if alignment == 'both' else 1) * (2 if velocity else 1)
        return each + scores

    def represent(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Apply alignment, stream and velocity to clips (N, C, T, V, M) that are already augmented.

        Args:
            x: (N, C, T, V, M), with the scores as the last channel if ``scores`` is set.
            num_frames: (N,) number of real frames of padded clips. The step from the last real frame to the padding
                does not count as movement.
        """
        scores = None
        if self.scores:
            x, scores = x.split([x.shape[1] - 1, 1], 1)
        if self.stream == 'invariant':  # it does not depend on alignment, and has velocities of its own
            x = to_stream(x, self.stream, self.layout, num_frames, scores)
        else:
            if self.alignment != 'none':
                local = align_shoulders(centre_frames(x, self.layout, scores=scores), self.layout, scores)
                x = local if self.alignment == 'frame' else torch.cat([x, local], 1)
            x = to_stream(x, self.stream, self.layout, num_frames)
            x = torch.cat([x, to_stream(x, 'motion', self.layout, num_frames)], 1) if self.velocity else x
        return self.place(x if scores is None else torch.cat([x, scores], 1))

    def place(self, x: Tensor) -> Tensor:
        """Move clips (N, C, T, V, M) to the joints of ``union`` and to ``num_persons`` persons, where these are set."""
        if self.places is not None:
            x = take_joints(torch.cat([x, torch.zeros_like(x[:, :, :, :1])], 3), self.places)
        if self.num_persons is None or x.shape[4] == self.num_persons:
            return x
        if x.shape[4] > self.num_persons:
            raise UserError(f'the clips have {x.shape[4]} persons, but the encoder takes at most {self.num_persons}: '
                            "put dict(type='SelectPersons') into the pipeline")
        return F.pad(x, (0, self.num_persons - x.shape[4]))

    def cast_data(self, data):
        """Move a batch to the device. Clips as stored, which a data set defers, go through their pipeline there."""
        data = super().cast_data(data)
        if isinstance(data, dict) and isinstance(data.get('inputs'), StoredClips):
            clips, frames = data['inputs'].to(self.device, self._non_blocking).prepared()
            return {**data, 'inputs': clips, 'data_samples': {**data['data_samples'], 'num_frames': frames}}
        return data

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data: ``inputs`` (N, C, T, V, M) and ``data_samples``, a dict of tensors of length N.
            training: Draw the views.

        Returns:
            The same keys. ``inputs`` is a dict of views in training and the clips otherwise.
        """
        data = self.cast_data(data)
        frames = (data.get('data_samples') or {}).get('num_frames')
        generator = self.generator(data['inputs'].device) if training and self.views else None
        return {**data, 'inputs': self.prepare(data['inputs'], frames, generator)}

    def prepare(self, x: Tensor, frames: Tensor | None,
                generator: torch.Generator | None) -> Tensor | dict[str, Tensor]:
        """Prepare clips (N, C, T, V, M) with ``frames`` (N,) real frames. The views are drawn if a generator is given.

        Returns:
            A dict of views, or the clips without a generator.
        """
        if x.dim() != 5 or x.shape[3] != self.layout.num_joints:
            raise UserError(f'the clips have shape {tuple(x.shape)}; expected (N, C, T, V, M) with V = '
                            f'{self.layout.num_joints}, the joints of layout {self.layout.name!r}: '
                            'set data_preprocessor.layout to that of the store')
        if generator is None:
            return self.represent(x, frames)
        clips: dict[str, Tensor] = {}
        for name, ops in self.views.items():
            clips[name] = self._view(clips[self.origin[name]] if name in self.origin else x,
                                     [ops[index] for index in self.active[name]], generator)
        if self.keep_absent:
            clips = {name: only_present(clip, x) for name, clip in clips.items()}
        # A view of another length was cut from the clip and has no padding.
        return {name: self.represent(clips[name], frames if clips[name].shape[2] == x.shape[2] else None)
                for name in self.view_names}


    def _view(self, source: Tensor, ops: list, generator: torch.Generator) -> Tensor:
        """Apply augmentations to clips, which do not change. The results between them are overwritten."""
        clip, scores = source, (1,) if self.scores else ()
        for op in ops:
            own = clip.is_contiguous() and not _share_memory(clip, source)
            clip = op(clip, generator, *scores, **dict(overwrite=True) if own and _can_overwrite(op) else {})
        return clip


def _can_overwrite(op) -> bool:
    """Return whether an augmentation is called as :class:`BatchAugment` is; a plug-in may have a call of its own."""
    return type(op).__call__ is BatchAugment.__call__


def _share_memory(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


def only_present(view: Tensor, clip: Tensor) -> Tensor:
    """Set the persons of a view (N, C, T', V, M') to zero who are absent from its clip (N, C, T, V, M).

    Views with another number of persons are returned as they are. They are made of persons who are present.
    """
    if view.shape[4] != clip.shape[4]:
        return view
    return view * (clip != 0).any(3, keepdim=True).any(2, keepdim=True).any(1, keepdim=True)
