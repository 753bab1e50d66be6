# SkeAttnCLR's preprocessing of NTU and PKU-MMD (docs/methods.md 0.1): that of the lineage, with 64 frames.
frames64 = [
    dict(type='SelectPersons', max_persons=2),
    dict(type='Center'),
    dict(type='ResizeFrames', frames=64),
    dict(type='AlignShoulders'),
    dict(type='PackSkeleton')]
