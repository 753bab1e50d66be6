# Padded clips of their own length, in (-1, 1), for sequence encoders. CRRL's preprocessing is not published; this one
# does what its decoder needs. The whole clip is translated and rotated once (view-invariant, keeps the trajectory) and
# scaled by one factor. The largest coordinate leaves room for augmentation.
_end = [dict(type='AlignSequence'), dict(type='FitRange', limit=0.7), dict(type='PadFrames', frames=300),
        dict(type='PackSkeleton')]
one_person = [dict(type='SelectPersons', max_persons=1), *_end]
two_persons = [dict(type='SelectPersons', max_persons=2), *_end]
# Like datasets/sbu.py: translated but not rotated; the origin is half-way between the two persons.
interaction = [dict(step, turn=False, middle=True) if step['type'] == 'AlignSequence' else step for step in two_persons]
