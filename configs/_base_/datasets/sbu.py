# SBU Kinect Interaction: 15 joints, two persons, 8 classes; five folds, data.split=fold1 to fold5. There is one camera,
# and the persons face each other. Clips are translated but not rotated; the origin is half-way between the persons.
# The published coordinates are normalised axis by axis; the scale turns them back into metres, y up.
data = dict(
    store='data/sbu',
    split='fold1',
    pipeline=[
        dict(type='SelectPersons', max_persons=2),
        dict(type='AlignSequence', turn=False, middle=True),
        dict(type='ResizeFrames', frames=16),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py pyskl sbu_interaction.pkl --layout sbu15 '
            '--scale=-2.56,-1.92,1.28 --out data/sbu')
train_dataloader = dict(
    batch_size=64, num_workers=0, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
