"""Opens a model wherever it is: a checkpoint, a work_dir, a saved folder, the zoo or the hub."""
import os
import os.path as osp
from collections.abc import Sequence
from os import PathLike

import torch

from mmskelssl.engine.work_dir import last_checkpoint
from mmskelssl.errors import UserError
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.saved import CONFIG, find_folder, read_config


def open_model(source: str | PathLike, device: str | torch.device | None = None, batch_size: int = 256,
               imports: Sequence[str] = (), like: str | PathLike | None = None,
               fps: float | None = None) -> FeatureExtractor | SkeletonClassifier:
    """Open an encoder or a classifier.

    Args:
        source: Checkpoint, work_dir, folder of a saved model, ``zoo/NAME``, or id on the Hugging Face hub.
        device, batch_size, imports: As for :class:`FeatureExtractor`.
        like, fps: As for :class:`FeatureExtractor`, for checkpoints that do not describe their preprocessing.

    Raises:
        UserError: If there is no such model, or ``like`` or ``fps`` is given for a saved one.
    """
    name = os.fspath(source)
    if osp.isfile(name) or name.endswith('.pth') or osp.isdir(name) and not osp.isfile(osp.join(name, CONFIG)):
        return FeatureExtractor(last_checkpoint(name), device, batch_size, imports, like, fps)
    for option, value in (('like', like), ('fps', fps)):
        if value is not None:
            raise UserError(f'{name} describes its own preprocessing: leave out {option}={value}')
    folder = find_folder(name)
    kind = read_config(folder)['kind']
    model = SkeletonClassifier if kind == 'classifier' else FeatureExtractor
    return model.from_pretrained(folder, device, batch_size, imports)
