"""Fuses files of scores that earlier evaluations wrote, or other programs."""
import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mmskelssl.commands.arguments import refuse_twice
from mmskelssl.commands.output import Output
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import fixed_weights, fuse
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.scores import Scores, load_scores

# Options that files of scores have no use for.
_OF_ENCODERS = dict(recipes='--recipe', pairs='--split-pairs', untrained='--untrained', data='--data', seed='--seed',
                    device='--device', names='--names')
# Fields that a row of a file of scores does not have, or that name a file in another folder.
_OF_OTHERS = ('seeds', 'std', 'by_seed', 'folds', 'subset', 'provenance')


def fuse_files(paths: Sequence[str], out: str, weights: str, protocols: Sequence[str],
               options: Mapping) -> list[dict]:
    """Fuse files of scores by sample id, and return the rows in ``results.json``.

    Args:
        paths: Files (.npz), see :func:`~mmskelssl.evaluation.scores.load_scores`.
        out: Folder of the results.
        weights: As parsed by :func:`~mmskelssl.evaluation.ensemble.parse_weights`.
        protocols: What was asked for. Files are fused as they are, so only the default is accepted.
        options: Options of the command, of which only ``pictures`` applies.

    Raises:
        UserError: If an option does not apply, or a file does not fit the others.
    """
    if weights == 'validation':
        raise UserError('--weights validation fits the probes again: give the checkpoints, not their scores')
    refuse_twice(paths)
    unread = [option for key, option in _OF_ENCODERS.items() if options.get(key)]
    if unread or [*protocols] != ['linear']:
        raise UserError(f'{unread[0] if unread else "--of"}: files of scores are fused as they are; leave it out, or '
                        'give the checkpoints')
    members = [_member(path) for path in paths]
    _check_alike(paths, members)
    output = Output(out, options.get('pictures', True))
    output.add_ensemble(fuse(members, fixed_weights(weights, [member.row['stream'] for member in members]), weights))
    return output.finish()


def _check_alike(paths: Sequence[str], members: Sequence[Scores]) -> None:
    """Refuse probes of different shares of the labels. Tell if only some scores are probabilities."""
    shares = [member.row['label_fraction'] for member in members]
    if other := next((i for i, share in enumerate(shares) if share != shares[0]), 0):
        raise UserError(f'{paths[0]} is of {shares[0]:.4g} of the labels, and {paths[other]} of {shares[other]:.4g}: '
                        'fuse files of the same share')
    scales = [bool((one.scores >= 0).all() and np.allclose(one.scores.sum(1), 1, atol=1e-3)) for one in members]
    if len({*scales}) > 1:
        print(f'note: {paths[scales.index(True)]} has probabilities, and {paths[scales.index(False)]} has scores on '
              'another scale. The larger ones count more: bring them to one scale, or choose --weights')


def _member(path: str) -> Scores:
    """Read a file of scores. Fields that its row lacks get the name of the file, or plain defaults."""
    scores = load_scores(path)
    name = osp.splitext(osp.basename(path))[0]
    row: dict = dict(encoder=name, method=name, data='', split='test', stream='joint', protocol='ensemble',
                     recipe='file', epoch=None, label_fraction=1.0, seed=None)
    row.update({key: value for key, value in scores.row.items() if key not in _OF_OTHERS}, checkpoint=path)
    if row['protocol'] in PROTOCOLS and not getattr(PROTOCOLS[row['protocol']], 'SCORED', True):
        raise UserError(f'{path}: its row is of the protocol {row["protocol"]}, which has no scores to fuse')
    return replace(scores, row=row)
