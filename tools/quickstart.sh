#!/usr/bin/env bash
# Sets up the environment, creates the embedded data set, pre-trains an encoder on it, compares the encoder with an
# untrained one, draws pictures, and writes a page about it. It takes less than five minutes on two CPU cores after
# installation. Run it again to continue where it stopped. Arguments are passed to tools/train.py. WORK_DIR and DATA_DIR
# change the output folders.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh
setup_env tests
export MPLBACKEND=Agg
out=${WORK_DIR:-work_dirs/quickstart}
data=${DATA_DIR:-data/toy}

if [ ! -f "$data/index.json" ]; then
    echo "== making the embedded data set: $data"
    python tools/prepare_data.py toy --out "$data" ${TOY_OPTIONS:-}
fi
echo "== pre-training without labels: configs/aimclr_toy.py -> $out"
python tools/train.py configs/aimclr_toy.py --work-dir "$out" --resume "$@" --cfg-options data.store="$data" ${OPTIONS:-}
echo '== measuring: the untrained encoder against the pre-trained one'
python tools/evaluate.py all "$out/$(basename "$(cat "$out/last_checkpoint")")" --untrained --recipe 1nn logreg --split-pairs train:test \
    --out "$out"
echo '== drawing'
python tools/analysis/plot_curves.py "$out" --out "$out/curves.png"
python tools/analysis/browse_dataset.py "$data" --contact-sheet --format png --out "$out"
python -m mmskelssl report "$out" --out "$out/report.html"
echo "== done: $out/results.json, $out/curves.png, $out/contact_sheet.png"
echo "== open $out/report.html in a browser"
