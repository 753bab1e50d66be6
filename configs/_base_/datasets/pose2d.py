# Poses from a 2D estimator, in pixels. Each clip is translated and scaled as a whole into (-1, 1). Works with any
# layout of two channels.
data = dict(
    store='data/pose2d',
    split='standard',
    pipeline=[
        dict(type='SelectPersons', max_persons=1, by='energy'),
        dict(type='AlignSequence', turn=False),
        dict(type='FitRange'),
        dict(type='ResizeFrames', frames=64),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py pose FOLDER --layout coco17 --out data/pose2d')
train_dataloader = dict(
    batch_size=64, num_workers=0, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
