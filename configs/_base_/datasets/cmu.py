# CMU motion capture: 31 joints, one person, 45 classes. Encoders that need clips of one length also need ResizeFrames.
data = dict(
    store='data/cmu',
    split='xsub',
    pipeline=[
        dict(type='SelectPersons', max_persons=1),
        dict(type='AlignSequence'),
        dict(type='ResizeFrames', frames=64),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py cmu FOLDER_OF_ASF_AND_AMC --out data/cmu')
train_dataloader = dict(
    batch_size=64, num_workers=2, persistent_workers=True, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
