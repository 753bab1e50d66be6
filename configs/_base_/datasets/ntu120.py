# NTU RGB+D 120: 25 joints, two persons, 120 classes; splits xsub (also xset).
_base_ = 'ntu60.py'
data = dict(
    store='data/ntu120',
    prepare='python tools/prepare_data.py ntu120 FOLDER_OR_ZIP_OF_SKELETON_FILES --out data/ntu120')
