# CRRL's second stage for a few thousand clips or fewer: like crrlreconstruct_small.py, with a teacher without dropout.
_base_ = 'crrlreconstruct_small.py'
model = dict(
    type='CRRL',
    distill_weight=0.1,
    head=dict(hidden_channels=512, out_channels=512),
    teacher_dropout=False)
