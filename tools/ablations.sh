#!/usr/bin/env bash
# Trains and measures the short ablations over three seeds of docs/results.md, and copies their results to
# results/ablations_short. It needs the store data/nwucla (docs/data.md), and about two hours on two idle CPU cores. Run
# it again to continue where it stopped. Arguments: actclr, skeattnclr, crrl; by default, all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
seeds=${SEEDS:-0 1 2}
narrow="model.backbone.hidden_channels=8 model.backbone.out_channels=64"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

train() {  # CONFIG WORK_DIR EPOCHS SEED [options of train] -- [changes to the config]
    local config=$1 dir=$2 epochs=$3 seed=$4 more=()
    shift 4
    while [ "$1" != -- ]; do more+=("$1"); shift; done
    shift
    [ -f "$dir/done" ] && return
    rm -rf "$dir"
    $python tools/train.py "configs/$config.py" --work-dir "$dir" --seed "$seed" "${more[@]}" --cfg-options \
        "train_cfg.max_epochs=$epochs" default_hooks.knn=None "$@"
    touch "$dir/done"
}

measure() {  # NAME: all seeds of all variants, from the arrays checkpoints and names
    $python tools/evaluate.py all "${checkpoints[@]}" --names "${names[@]}" --recipe 1nn logreg paper --no-pictures \
        --split-pairs train:test train:test_clean xsub_train:xsub_test --out "work_dirs/ablation_$1"
    mkdir -p "results/ablations_short/$1"
    cp "work_dirs/ablation_$1/results.json" "results/ablations_short/$1/"
}

actclr() {
    checkpoints=() names=()
    for seed in $seeds; do
        # shellcheck disable=SC2086  # several changes
        train aimclr_nwucla "work_dirs/abl_aimclr_$seed" 16 "$seed" -- $narrow
        checkpoints+=("work_dirs/abl_aimclr_$seed/epoch_16.pth") names+=('AimCLR, the start of all')
    done
    while IFS='|' read -r variant name change; do
        for seed in $seeds; do
            # shellcheck disable=SC2086
            train actclr_nwucla "work_dirs/abl_actclr_${variant}_$seed" 8 "$seed" \
                --init-from "work_dirs/abl_aimclr_$seed/epoch_16.pth" -- $narrow "$change"
            checkpoints+=("work_dirs/abl_actclr_${variant}_$seed/actclr/epoch_8.pth") names+=("ActCLR, $name")
        done
    done <<'VARIANTS'
actionlet|mask actionlet|model.mask=actionlet
ones|mask ones|model.mask=ones
zeros|mask zeros|model.mask=zeros
random|mask random|model.mask=random
no_intra|without intra|model.branches=[inter,mixed]
no_inter|without inter|model.branches=[intra,mixed]
no_mixed|without mixed|model.branches=[intra,inter]
VARIANTS
    measure actclr
}

skeattnclr() {
    checkpoints=() names=()
    while IFS='|' read -r variant name change; do
        for seed in $seeds; do
            # shellcheck disable=SC2086
            train skeattnclr_nwucla "work_dirs/abl_skeattnclr_${variant}_$seed" 8 "$seed" -- $narrow "$change"
            checkpoints+=("work_dirs/abl_skeattnclr_${variant}_$seed/epoch_8.pth") names+=("SkeAttnCLR, $name")
        done
    done <<'VARIANTS'
partner|parts of a partner|model.mask=attention
zeros|parts to zeros|model.data_preprocessor.views.mixed.1.fill=zeros
noise|parts to noise|model.data_preprocessor.views.mixed.1.fill=noise
joints|joints of a partner|model.data_preprocessor.views.mixed.1.joints=[8,12]
none|no mask|model.mask=none
VARIANTS
    measure skeattnclr_swap
}

crrl() {
    checkpoints=() names=()
    while IFS='|' read -r variant name change; do
        for seed in $seeds; do
            train crrlreconstruct_nwucla "work_dirs/abl_crrl_${variant}_$seed" 8 "$seed" -- \
                model.backbone.hidden_channels=128 "$change"
            checkpoints+=("work_dirs/abl_crrl_${variant}_$seed/epoch_8.pth") names+=("CRRL reconstruction, $name")
        done
    done <<'VARIANTS'
both|both directions|model.decoder_layers=2
forward|forward only|model.directions=[forward]
backward|backward only|model.directions=[backward]
VARIANTS
    measure crrl_directions
}

for part in "${@:-all}"; do
    case $part in
        actclr|skeattnclr|crrl) "$part" ;;
        all) actclr; skeattnclr; crrl ;;
        *) echo "unknown ablation $part" >&2; exit 2 ;;
    esac
done
