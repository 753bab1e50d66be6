# Clips of their own length, padded, in (-1, 1): for sequence encoders. CRRL's preprocessing is not published; this one
# does what its decoder needs. The whole clip is moved and turned once (view-invariant, the trajectory stays), and is
# scaled by one factor. The largest coordinate leaves room for augmentation.
_end = [dict(type='AlignSequence'), dict(type='FitRange', limit=0.7), dict(type='PadFrames', frames=300),
        dict(type='PackSkeleton')]
one_person = [dict(type='SelectPersons', max_persons=1), *_end]
two_persons = [dict(type='SelectPersons', max_persons=2), *_end]
# As datasets/sbu.py: moved, but not turned; the origin half-way between the two.
interaction = [dict(step, turn=False, middle=True) if step['type'] == 'AlignSequence' else step for step in two_persons]
