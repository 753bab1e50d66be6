# CRRL's sequence reconstructor alone (docs/methods.md 3.2, 3.3). Nothing is augmented.
model = dict(
    type='CRRLReconstruct',
    backbone=dict(type='BiGRU', num_persons=2, hidden_channels=256, num_layers=2, dropout=0.2),
    decoder_layers=2,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(clip=[])))
