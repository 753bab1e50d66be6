# NTU RGB+D 60: 25 joints, two persons, 60 classes; splits xsub (also xview). Preprocessing: docs/methods.md 0.1.
data = dict(
    store='data/ntu60',
    split='xsub',
    pipeline=[
        dict(type='SelectPersons', max_persons=2),
        dict(type='Center'),
        dict(type='ResizeFrames', frames=50),
        dict(type='AlignShoulders'),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py ntu60 FOLDER_OR_ZIP_OF_SKELETON_FILES --out data/ntu60')
train_dataloader = dict(
    batch_size=128, num_workers=2, persistent_workers=True, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
