# python tools/train.py configs/simclr_poolsbu.py [--init-from CKPT]
# As simclr_pool.py, with the training clips of a fold of SBU, which show two persons. CKPT is an encoder of that pool,
# whose training this continues. Another fold: --cfg-options data.stores.3.split=fold2
_base_ = 'simclr_pool.py'
data = dict(stores=[
    *_base_.data.stores,
    dict(store='data/sbu', weight=2, split='fold1',
         prepare='python tools/prepare_data.py pyskl sbu_interaction.pkl --layout sbu15 --scale=-2.56,-1.92,1.28 '
                 '--out data/sbu')])
train_cfg = dict(by_epoch=True, max_epochs=15)
