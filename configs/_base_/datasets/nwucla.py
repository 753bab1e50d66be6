# Northwestern-UCLA: 20 joints, one person, 10 classes. The trajectory separates its classes, so the whole clip is
# aligned once; centring every frame would erase it.
data = dict(
    store='data/nwucla',
    split='standard',
    pipeline=[
        dict(type='SelectPersons', max_persons=1),
        dict(type='AlignSequence'),
        dict(type='ResizeFrames', frames=32),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py pyskl nw_ucla.pkl --layout kinect20 --out data/nwucla')
train_dataloader = dict(
    batch_size=64, num_workers=0, drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
