# MAMP's preprocessing of NTU and PKU-MMD (docs/methods.md 6.2): the clip is moved as a whole, not turned or scaled.
# The origin is joint 1, the spine, of the first person in the first frame.
frames120 = [
    dict(type='SelectPersons', max_persons=2),
    dict(type='AlignSequence', turn=False, joint=1),
    dict(type='ResizeFrames', frames=120),
    dict(type='PackSkeleton')]
