# CRRL's contrastive motion learner, the first stage (docs/methods.md 3.2, 3.3): coordinates against velocity, a random
# key head that is never trained, a queue of two batches. Nothing is augmented.
model = dict(
    type='CRRLMotion',
    backbone=dict(type='BiGRU', num_persons=2, hidden_channels=256, num_layers=2, dropout=0.2),
    projector=dict(hidden_channels=512, out_channels=512),
    momentum=dict(momentum=0.999, buffers='own'),
    key_head='fixed',
    velocity='difference',
    queue_size=64,
    temperature=0.1,
    data_preprocessor=dict(type='SkeletonPreprocessor', stream='joint', views=dict(query=[], key=[])))
