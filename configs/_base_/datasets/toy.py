# The embedded data set: procedural motions of 25 joints, one or two persons.
data = dict(
    store='data/toy',
    split='standard',
    pipeline=[
        dict(type='SelectPersons', max_persons=2),
        dict(type='AlignSequence', turn=False),
        dict(type='ResizeFrames', frames=24),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py toy --out data/toy')
train_dataloader = dict(
    batch_size=32, num_workers=0, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
