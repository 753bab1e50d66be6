# Three data sets of two skeletons for one encoder: NW-UCLA and MSR Action3D (20 joints) and Bandai-Namco's motions
# (21 joints, CC BY-NC 4.0). Only their training splits are used. Weights are shares of a batch. Clips are aligned like
# those of NW-UCLA alone. They show one person; data.pipeline, which other stores get, keeps two.
_steps = [dict(type='AlignSequence'), dict(type='ResizeFrames', frames=32), dict(type='PackSkeleton')]
_alone = [dict(type='SelectPersons', max_persons=1), *_steps]
data = dict(
    stores=[
        dict(store='data/nwucla', weight=2, pipeline=_alone,
             prepare='python tools/prepare_data.py pyskl nw_ucla.pkl --layout kinect20 --out data/nwucla'),
        dict(store='data/msr', weight=1, pipeline=_alone,
             prepare='python tools/prepare_data.py pyskl msr_action3d.pkl --layout kinect20 '
                     '--joints 6,3,2,19,0,7,9,11,1,8,10,12,4,13,15,17,5,14,16,18 --out data/msr'),
        dict(store='data/bandai', weight=1, pipeline=_alone,
             prepare='python tools/prepare_data.py bandai FOLDER_OF_BVH --out data/bandai')],
    split='standard',
    pipeline=[dict(type='SelectPersons', max_persons=2), *_steps])
train_dataloader = dict(batch_size=64, num_workers=0, drop_last=True)
