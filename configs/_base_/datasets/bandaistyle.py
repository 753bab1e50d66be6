# The same motions as bandai.py, labelled with one of 7 styles; the test split has other actions. A style shows in the
# posture, so every frame is centred and turned to the front by itself, and keeps its height above the ground.
_base_ = 'bandai.py'
data = dict(
    store='data/bandaistyle',
    pipeline=[
        dict(type='SelectPersons', max_persons=1),
        dict(type='Center', keep_height=True),
        dict(type='ResizeFrames', frames=32),
        dict(type='AlignShoulders'),
        dict(type='PackSkeleton')],
    prepare='python tools/prepare_data.py bandai FOLDER_OF_BVH --labels style --out data/bandaistyle')
