# NTU RGB+D 120: 25 joints, two persons, 120 classes; splits xsub (also xset).
_base_ = 'ntu60.py'
data = dict(
    store='data/ntu120',
    prepare='python tools/prepare_data.py pyskl ntu120_3danno.pkl --layout ntu25 --out data/ntu120')
