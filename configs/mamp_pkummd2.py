# python tools/train.py configs/mamp_pkummd2.py [--amp] [--cfg-options data.split=xview]  (MAMP, then NNTuning)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/pkummd2.py',
    '_base_/pipelines/frames120.py',
    '_base_/models/nn_tuning.py',
    '_base_/schedules/nn_tuning_10e.py']
stages = [dict(name='mamp', config='mampmasked_pkummd2.py', carry=['backbone.']), dict(name='nn_tuning')]
data = dict(pipeline=_base_.frames120)
