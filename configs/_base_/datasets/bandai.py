# Bandai-Namco-Research-Motiondataset-2: 21 joints, one person, 10 classes (actions); the test split has other styles.
# Its licence is CC BY-NC 4.0, which weights trained on it inherit. Aligned like NW-UCLA.
_base_ = 'nwucla.py'
data = dict(
    store='data/bandai',
    prepare='python tools/prepare_data.py bandai FOLDER_OF_BVH --out data/bandai')
