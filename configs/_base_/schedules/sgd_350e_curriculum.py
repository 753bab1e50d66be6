# ActCLR's second phase (docs/methods.md 1.1, 1.4): one device with batch 128; use lr=0.4 for four devices.
_base_ = 'sgd_300e.py'
train_cfg = dict(max_epochs=350)
by_stream = dict(bone=dict(train_cfg=dict(max_epochs=300)), motion=dict(train_cfg=dict(max_epochs=300)))
# For `default_hooks` of the config: mmengine takes a key from one base file only, and runtime.py already has this one.
curriculum = dict(type='AugmentCurriculumHook', core=('TemporalCrop', 'Shear'), phases=[
    dict(begin=0, keep=dict(normal=5, strong=7)),
    dict(begin=100, keep=dict(normal=3, strong=5)),
    dict(begin=200, keep=dict(normal=1, strong=3)),
    dict(begin=300, keep=dict(normal=0, strong=0), core=False)])
