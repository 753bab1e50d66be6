"""Tables and figures of SkeAttnCLR (Hua et al., IJCAI 2023); docs/methods.md 2."""
from collections.abc import Mapping

from mmskelssl.commands.papers import Column, Entry, Row, published, streams_and_fusion

LIST = 'Awesome-Self-supervised-Skeleton (list)'

_CELLS = {
    ('ntu60', 'xsub'): 'paper-skeattnclr-xsub', ('ntu60', 'xview'): 'paper-skeattnclr-xview',
    ('ntu120', 'xsub'): 'equal', ('ntu120', 'xset'): 'equal', ('pkummd2', 'xsub'): 'equal',
}
_OTHER_STREAMS = dict(bone='paper-skeattnclr-ntu60-bone', motion='paper-skeattnclr-ntu60-motion')
_FINETUNE: dict[tuple[str, str], str | Mapping[str, str]] = {
    ('ntu60', 'xsub'): dict(joint='paper-skeattnclr', **_OTHER_STREAMS),
    ('ntu60', 'xview'): dict(joint='paper-skeattnclr-ntu60-xview', **_OTHER_STREAMS),
    ('ntu120', 'xsub'): 'paper-skeattnclr-ntu120', ('ntu120', 'xset'): 'paper-skeattnclr-ntu120',
}
_SEMI: dict[tuple[str, float], str | Mapping[str, str]] = {
    **{(split, .01): dict(joint=f'paper-skeattnclr-ntu60-{split}-1', bone=f'paper-skeattnclr-ntu60-{split}-bone-1',
                          motion=f'paper-skeattnclr-ntu60-{split}-motion-1') for split in ('xsub', 'xview')},
    **{(split, .05): 'paper-skeattnclr' for split in ('xsub', 'xview')},
    **{(split, .1): dict(joint=f'paper-skeattnclr-ntu60-{split}-10', bone='paper-skeattnclr-ntu60-bone-10',
                         motion='paper-skeattnclr-ntu60-motion-10') for split in ('xsub', 'xview')},
}


def _linear(*data: str) -> tuple[Column, ...]:
    return tuple(Column(name, split, recipe='paper-skeattnclr', weights=weights)
                 for (name, split), weights in _CELLS.items() if name in data)


_JOINT = _linear('ntu60')
_SWAP = 'model.data_preprocessor.views.mixed.1'

ENTRIES = (
    Entry('table1', 'linear evaluation, joint stream', 'skeattnclr',
          (Row('SkeletonCLR', 'skeletonclr'), Row('SkeAttnCLR')), _linear('ntu60', 'ntu120', 'pkummd2'), {
              **published("README of CrosSCLR's code", 'SkeletonCLR', {'NTU60 x-sub': 68.3, 'NTU60 x-view': 76.4}),
              **published(LIST, 'SkeAttnCLR', {
                  'NTU60 x-sub': 80.3, 'NTU60 x-view': 86.1, 'NTU120 x-sub': 66.3, 'NTU120 x-set': 74.5,
                  'PKU-MMD II x-sub': 52.9})}),
    Entry('table2', 'linear evaluation, each stream and three streams', 'skeattnclr', streams_and_fusion(),
          _linear('ntu60', 'ntu120', 'pkummd2'), published(LIST, 'joint', {
              'NTU60 x-sub': 80.3, 'NTU60 x-view': 86.1, 'NTU120 x-sub': 66.3, 'NTU120 x-set': 74.5,
              'PKU-MMD II x-sub': 52.9})),
    Entry('table3', 'fine-tuning', 'skeattnclr', streams_and_fusion(), tuple(
        Column(data, split, 'finetune', recipe, _CELLS[data, split]) for (data, split), recipe in _FINETUNE.items()),
        note="The authors' rate for bone and motion on NTU120 is that of a linear probe, 3. Here it is that of joint."),
    Entry('table4', 'fine-tuning with few labels', 'skeattnclr', streams_and_fusion(), tuple(
        Column('ntu60', split, 'semi', recipe, _CELLS['ntu60', split], share)
        for (split, share), recipe in _SEMI.items()),
        note="The authors' code has no settings for 5 % of the labels. Here they are those of fine-tuning."),
    Entry('table5', 'transfer to PKU-MMD II, linear', 'skeattnclr', (Row('SkeAttnCLR'),),
          (Column('ntu60', 'xsub', recipe='paper-skeattnclr', on='pkummd2'),)),
    Entry('table6', 'nearest neighbours and retrieval, joint stream', 'skeattnclr', (Row('SkeAttnCLR'),), tuple(
        Column('ntu60', split, protocol, recipe, number=number, note=note) for protocol, recipe, number, note in (
            ('knn', '1nn', 'top1', '1-NN'), ('retrieval', 'cosine', 'map', 'mAP')) for split in ('xsub', 'xview'))),
    Entry('table7', 'ablation: losses', 'skeattnclr', (
        Row('global only', options={'model.mask': 'none'}),
        *(Row(f'mu = {mu:g}', options={'model.local_weight': float(mu)}) for mu in (0, .5, 1))), _JOINT),
    Entry('table8', 'ablation: what replaces body parts', 'skeattnclr', (
        Row("another clip's parts"), Row('zeros', options={f'{_SWAP}.fill': 'zeros'}),
        Row('noise', options={f'{_SWAP}.fill': 'noise'}),
        Row("another clip's joints", options={f'{_SWAP}.joints': (10, 15)})), _JOINT),
    Entry('figure1', 'attention on a clip', 'skeattnclr', (Row('SkeAttnCLR'),), (Column('ntu60', 'xsub'),),
          figure='masks'),
    Entry('figure2', 't-SNE of test clips', 'skeattnclr',
          (Row('SkeletonCLR', 'skeletonclr'), Row('SkeAttnCLR')), (Column('ntu60', 'xsub'),), figure='tsne'),
)
