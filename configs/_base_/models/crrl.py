# CRRL, second stage (docs/methods.md 3.2, 3.3): reconstruction, and distillation from the first stage's encoder.
_base_ = 'crrlreconstruct.py'
model = dict(
    type='CRRL',
    distill_weight=0.1,
    head=dict(hidden_channels=512, out_channels=512),
    teacher_dropout=True)
