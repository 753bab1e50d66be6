#!/usr/bin/env bash
# Trains, measures and saves the encoders that ship with the package, to mmskelssl/zoo. It needs the stores data/nwucla
# and data/msr (docs/reproduce.md), and about ten minutes for each encoder on an idle CPU core. Run it again to continue
# where it stopped. Arguments are names of encoders; by default, all of them are made.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
zoo=${ZOO:-mmskelssl/zoo}
none='none is stated; research only'

make() {  # NAME CONFIG STREAM PAIRS [options of save]
    local name=$1 config=$2 stream=$3 pairs=$4 work=${WORK_DIR:-work_dirs/zoo}/$1
    shift 4
    $python -m mmskelssl train "$config" --work-dir "$work" --resume \
        --cfg-options "model.data_preprocessor.stream=$stream" ${OPTIONS:-}
    for measured in 'knn 1nn' 'linear logreg'; do
        # shellcheck disable=SC2086  # several pairs
        $python -m mmskelssl evaluate "${measured% *}" "$work" --recipe "${measured#* }" --split-pairs $pairs \
            --no-pictures --out "$work/eval"
    done
    $python -m mmskelssl save "$work" --half --out "$zoo/$name" --overwrite --results "$work/eval/results.json" \
        --data-licence "$none" "$@"
}

for name in "${@:-all}"; do
    case $name in
        simclr-nwucla-joint|simclr-nwucla-bone|simclr-nwucla-motion)
            make "$name" simclr_nwucla "${name##*-}" 'train:test train:test_clean' ;;
        simclr-msr-joint)  # recorded at 15 frames per second
            make "$name" simclr_msr joint train:test --fps 15 ;;
        all)
            for one in simclr-nwucla-joint simclr-nwucla-bone simclr-nwucla-motion simclr-msr-joint; do
                bash tools/make_zoo.sh "$one"
            done ;;
        *)
            echo "unknown encoder $name" >&2
            exit 2 ;;
    esac
done
