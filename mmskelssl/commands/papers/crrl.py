"""Tables and figures of CRRL (Wang et al., IEEE TIP 2022); docs/methods.md 3.

CRRL publishes no table in a form that could be read. These entries measure what its code measures.
"""
from mmskelssl.commands.papers import Column, Entry, Row

_NTU = (('ntu60', 'xsub'), ('ntu60', 'xview'), ('ntu120', 'xsub'), ('ntu120', 'xset'))
_STAGES = (Row('motion learner', stage='crrlmotion'), Row('reconstructor', 'crrlreconstruct'), Row('CRRL'))


def _columns(protocol: str, recipe: str, *cells: tuple[str, str], **about) -> tuple[Column, ...]:
    return tuple(Column(data, split, protocol, recipe, **about) for data, split in cells)


_JOINT = _columns('linear', 'paper-crrl', ('ntu60', 'xsub'), ('ntu60', 'xview'))

ENTRIES = (
    Entry('table1', 'linear evaluation', 'crrl', (Row('CRRL'),), _columns('linear', 'paper-crrl', *_NTU)),
    Entry('table2', 'nearest neighbour', 'crrl', (Row('CRRL'),), _columns('knn', '1nn', *_NTU)),
    Entry('table3', 'linear evaluation on PKU-MMD', 'crrl', (Row('CRRL'),),
          _columns('linear', 'paper-crrl', ('pkummd1', 'xsub'), ('pkummd2', 'xsub'))),
    Entry('table4', 'CMU and NW-UCLA', 'crrl', (Row('CRRL'),), (
        Column('cmu', 'xsub', recipe='paper-crrl'), Column('cmu', 'xsub', 'knn', '1nn', note='1-NN'),
        Column('nwucla', 'standard', recipe='paper-crrl', like='cmu'),
        Column('nwucla', 'standard', 'knn', '1nn', like='cmu', note='1-NN')),
        note='NW-UCLA is trained with the published recipe, not with that of `configs/crrl_nwucla.py`. Its test split '
             'leaks (docs/evaluate.md).'),
    Entry('table5', 'fine-tuning', 'crrl', (Row('CRRL'),), (
        *_columns('finetune', 'paper-crrl', *_NTU[:2]),
        *_columns('finetune', 'paper-crrl-released', *_NTU[:2], note='as released'))),
    Entry('table6', 'transfer to PKU-MMD II, fine-tuned', 'crrl', (Row('CRRL'),), _columns(
        'finetune', 'paper-crrl', ('ntu60', 'xsub'), ('pkummd1', 'xsub'), on='pkummd2')),
    Entry('table7', 'ablation: stages', 'crrl', _STAGES, _JOINT),
    Entry('table8', 'ablation: directions of the reconstruction', 'crrl', (
        Row('both'), *(Row(f'{name} only', options={'model.directions': name}, shared='crrlmotion')
                       for name in ('forward', 'backward'))), _JOINT),
    Entry('table9', 'ablation: fusion', 'crrl', (
        Row('head'), Row('direct', options={'model.fusion': 'direct'}, shared='crrlmotion'),
        Row('none', 'crrlreconstruct')), _JOINT),
    Entry('figure1', 't-SNE of test clips', 'crrl', _STAGES, (Column('ntu60', 'xsub'),), figure='tsne'),
)
