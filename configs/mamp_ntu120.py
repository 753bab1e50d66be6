# python tools/train.py configs/mamp_ntu120.py [--amp] [--cfg-options data.split=xset]  (MAMP, then NNTuning)
_base_ = [
    '_base_/runtime.py',
    '_base_/datasets/ntu120.py',
    '_base_/pipelines/frames120.py',
    '_base_/models/nn_tuning.py',
    '_base_/schedules/nn_tuning_10e.py']
stages = [dict(name='mamp', config='mampmasked_ntu120.py', carry=['backbone.']), dict(name='nn_tuning')]
data = dict(pipeline=_base_.frames120)
