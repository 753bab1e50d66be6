"""Tables and figures of ActCLR (Lin et al., CVPR 2023); docs/methods.md 1."""
from collections.abc import Mapping

from mmskelssl.commands.papers import Column, Entry, Row, published, streams_and_fusion

README, LIST = "README of the authors' code", 'Awesome-Self-supervised-Skeleton (list)'
MACDIFF, DIMOP = 'comparison in MacDiff', 'comparison in DiMoP'

_CELLS = {  # weights of the streams
    ('ntu60', 'xsub'): 'paper-actclr-xsub', ('ntu60', 'xview'): 'paper-actclr-xview',
    ('ntu120', 'xsub'): 'paper-aimclr-ntu120', ('ntu120', 'xset'): 'paper-aimclr-ntu120',
    ('pkummd1', 'xsub'): 'paper-aimclr-pkummd1-xsub', ('pkummd1', 'xview'): 'paper-aimclr-pkummd1-xview',
    ('pkummd2', 'xsub'): 'paper-aimclr-pkummd2-xsub', ('pkummd2', 'xview'): 'paper-aimclr-pkummd2-xview',
}
_LATE = dict(joint='paper-actclr', bone='paper-actclr-ntu60-xsub-bone', motion='paper-actclr-ntu60-xsub-motion')
_FINETUNE: dict[tuple[str, str], str | Mapping[str, str]] = {
    ('ntu60', 'xsub'): _LATE, ('ntu120', 'xsub'): 'paper-actclr-ntu120',
    ('ntu120', 'xset'): {**dict.fromkeys(('bone', 'motion'), 'paper-actclr-ntu120'),
                         'joint': 'paper-actclr-ntu120-xset-joint'},
}


def _linear(*data: str) -> tuple[Column, ...]:
    return tuple(Column(name, split, recipe='paper-actclr-ntu120' if name == 'ntu120' else 'paper-actclr',
                        weights=weights) for (name, split), weights in _CELLS.items() if name in data)


def _other(protocol: str, recipe: str, number: str = 'top1', note: str = '') -> tuple[Column, ...]:
    return tuple(Column('ntu60', split, protocol, recipe, number=number, note=note) for split in ('xsub', 'xview'))


_JOINT = _linear('ntu60')

ENTRIES = (
    Entry('table1', 'linear evaluation, joint stream', 'actclr', (Row('AimCLR', stage='aimclr'), Row('ActCLR')),
          _linear('ntu60', 'ntu120'), {
              **published("README of AimCLR's code", 'AimCLR', {'NTU60 x-sub': 74.3, 'NTU60 x-view': 79.7}),
              **published(LIST, 'AimCLR', {'NTU120 x-sub': 63.4, 'NTU120 x-set': 63.4}),
              **published(README, 'ActCLR', {'NTU60 x-sub': 80.9, 'NTU60 x-view': 86.7}),
              **published(LIST, 'ActCLR', {'NTU120 x-sub': 69.0, 'NTU120 x-set': 70.5})},
          note="AimCLR is measured under ActCLR's recipe here. Its published numbers use `paper-aimclr`."),
    Entry('table2', 'linear evaluation, each stream and three streams', 'actclr', streams_and_fusion(),
          _linear('ntu60', 'ntu120'), {
              **published(README, 'joint', {'NTU60 x-sub': 80.9, 'NTU60 x-view': 86.7}),
              **published(LIST, 'joint', {'NTU120 x-sub': 69.0, 'NTU120 x-set': 70.5}),
              **published(README, 'bone', {'NTU60 x-sub': 80.1, 'NTU60 x-view': 85.0}),
              **published(README, 'motion', {'NTU60 x-sub': 78.6, 'NTU60 x-view': 84.4}),
              **published(README, 'three streams', {'NTU60 x-sub': 84.3, 'NTU60 x-view': 88.8}),
              **published(MACDIFF, 'three streams', {'NTU120 x-sub': 74.3, 'NTU120 x-set': 75.7})}),
    Entry('table3', 'linear evaluation on PKU-MMD', 'actclr', streams_and_fusion(), _linear('pkummd1', 'pkummd2')),
    Entry('table4', 'fine-tuning', 'actclr', streams_and_fusion(), tuple(
        Column(data, split, 'finetune', _FINETUNE.get((data, split), 'paper-actclr'), weights)
        for (data, split), weights in _CELLS.items() if data in ('ntu60', 'ntu120')),
        published(DIMOP, 'three streams', {'NTU60 x-sub': 88.2, 'NTU60 x-view': 93.9})),
    Entry('table5', 'fine-tuning with few labels', 'actclr', streams_and_fusion(), tuple(
        Column('ntu60', split, 'semi', 'paper-actclr', _CELLS['ntu60', split], share)
        for share in (.01, .05, .1) for split in ('xsub', 'xview')),
        published(DIMOP, 'three streams', {'NTU60 x-sub 1 %': 64.8, 'NTU60 x-view 1 %': 65.6,
                                           'NTU60 x-sub 10 %': 81.7, 'NTU60 x-view 10 %': 85.8})),
    Entry('table6', 'transfer to PKU-MMD II, fine-tuned', 'actclr', (Row('ActCLR'),), tuple(
        Column(data, 'xsub', 'finetune', 'paper-actclr', on='pkummd2') for data in ('ntu60', 'pkummd1'))),
    Entry('table7', 'nearest neighbours and retrieval, joint stream', 'actclr',
          (Row('AimCLR', stage='aimclr'), Row('ActCLR')),
          (*_other('knn', '1nn', note='1-NN'), *_other('knn', '20nn', note='20-NN'),
           *_other('retrieval', 'cosine', 'map', 'mAP')),
          note="The curve of the authors' log is a different measure: k = 10, on embeddings of augmented clips."),
    Entry('table8', 'ablation: the actionlet', 'actclr', (
        Row('actionlet'), Row('whole body', options={'model.mask': 'ones'}, shared='aimclr'),
        Row('no actionlet', options={'model.mask': 'zeros'}, shared='aimclr'),
        Row('random actionlet', options={'model.mask': 'random'}, shared='aimclr')), _JOINT),
    Entry('table9', 'ablation: where the actionlet is used', 'actclr', (
        Row('both'),
        Row('no motion-adaptive transformation', options={'model.motion_adaptive': False}, shared='aimclr'),
        Row('no semantic-aware pooling', options={'model.semantic_pooling': False}, shared='aimclr'),
        Row('neither', options={'model.motion_adaptive': False, 'model.semantic_pooling': False}, shared='aimclr')),
        _JOINT),
    Entry('table10', 'ablation: branches', 'actclr', (
        Row('all'), *(Row(f'without {name}', options={'model.branches': tuple(
            other for other in ('intra', 'inter', 'mixed') if other != name)}, shared='aimclr')
            for name in ('intra', 'inter', 'mixed'))), _JOINT),
    Entry('figure1', 'actionlets on a clip', 'actclr', (Row('ActCLR'),), (Column('ntu60', 'xview'),), figure='masks'),
    Entry('figure2', 't-SNE of test clips', 'actclr', (Row('AimCLR', stage='aimclr'), Row('ActCLR')),
          (Column('ntu60', 'xview'),), figure='tsne'),
)
