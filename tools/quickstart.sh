#!/usr/bin/env bash
# Sets up, makes the embedded data set, pre-trains an encoder on it, measures it against an untrained one, and draws.
# Five minutes on two CPU cores after installation. Run it again: it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh
setup_env tests
export MPLBACKEND=Agg
out=work_dirs/quickstart

if [ ! -f data/toy/index.json ]; then
    echo '== making the embedded data set: data/toy'
    python tools/prepare_data.py toy --out data/toy
fi
echo "== pre-training without labels: configs/aimclr_toy.py -> $out"
python tools/train.py configs/aimclr_toy.py --work-dir "$out" --resume
echo '== measuring: untrained encoder against pre-trained'
python tools/evaluate.py all "$out"/epoch_*.pth --untrained --out "$out"
echo '== drawing'
python tools/analysis/draw.py curves "$out" --out "$out/curves.png"
python tools/analysis/draw.py classes data/toy --out "$out/skeletons.png"
echo "== done: $out/results.json, $out/curves.png, $out/skeletons.png"
