# SLiM's clips of NTU and PKU-MMD (docs/methods.md 9.1): the trajectory of both persons relative to the spine of the
# first one in its first frame, without rotation, 64 frames.
origin64 = [
    dict(type='SelectPersons', max_persons=2),
    dict(type='AlignSequence', turn=False, joint=1),
    dict(type='ResizeFrames', frames=64),
    dict(type='PackSkeleton')]
