# MSR Action3D in Kinect-v1 order: 20 joints, one person, 20 classes; splits standard (cross-subject), as1, as2, as3.
data = dict(
    store='data/msr',
    split='standard',
    pipeline=[
        dict(type='SelectPersons', max_persons=1),
        dict(type='AlignSequence'),
        dict(type='ResizeFrames', frames=32),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py pyskl msr_action3d.pkl --layout kinect20 '
            '--joints 6,3,2,19,0,7,9,11,1,8,10,12,4,13,15,17,5,14,16,18 --out data/msr')
train_dataloader = dict(
    batch_size=64, num_workers=0, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
