#!/usr/bin/env bash
# What a GPU is worth to this course, and what it trains, in ten minutes: bash benchmarks/gpu.sh
#
# For a bare machine with one NVIDIA GPU, Python 3.11 or newer, torch 2.11 (2.6 or newer) and torchvision, and no network.
# Its parts, in this order; each is bounded, and what finds no time is named in $OUT/log.txt:
#   step      whole training steps against a plain trainer, with peak memory   -> step.json
#   compile   the same with torch.compile                                      -> step-compiled.json
#   train     DAMSM, then $MODELS at once on drawn birds, profile gpu: trained until the time is up, and measured as far as
#             they came; beside them GAN-CLS on $FLOWERS, where that is         -> <run>/{result,config}.json, sheet.png,
#                                                                                stats.jsonl, weights.safetensors (float16)
# All is written as it comes, so a kill loses nothing that was finished.
#
#   OUT      where the results go (runs/gpu), at most $KEEP_MB (60); a run whose weights go past that keeps all but them
#   BUDGET   seconds for everything (540); "step" and "compile" take up to 165 of them
#   PARTS, MODELS   a part of it: PARTS="step compile" in one call, PARTS=train in another; MODELS=msmt-gan
#   SCRATCH  data, caches and checkpoints, a few GB ($OUT.scratch); a second call with the same one goes on with the runs
#   WHEELS   a folder of wheels that the machine lacks. Where it has the usual ones (pandas, matplotlib, scipy, ...):
#              python -m pip download --no-deps -d wheels torch-fidelity lightning-fabric lightning-utilities tyro \
#                docstring-parser typeguard      (elsewhere add --python-version 3.12 --only-binary=:all: and --platform)
#   FLOWERS  Oxford-102: a prepared folder, or what benchmarks/small_flowers.py packs of it (76 px, 25 MB)
#   T2I_COMMIT  where the checkout was copied without its history: the commit, for the records
#   DRY=1    the same on the CPU with tiny numbers
set -uo pipefail
cd "$(dirname "$0")/.."

OUT=$(mkdir -p "${OUT:-runs/gpu}" && cd "${OUT:-runs/gpu}" && pwd)
SCRATCH=${SCRATCH:-$OUT.scratch}
BUDGET=${BUDGET:-540} KEEP_MB=${KEEP_MB:-60} PARTS=${PARTS:-step compile train} MODELS=${MODELS:-attngan dm-gan msmt-gan}
FLOWERS=${FLOWERS:-} WHEELS=${WHEELS:-} PYTHON=${PYTHON:-python3}
# What differs in a dry run: numbers.
if [ -n "${DRY:-}" ]; then
	profile=smoke birds=aviary step=(--device cpu --sizes cpu --models attngan --seconds 0.1) measure=60
else
	profile=gpu birds=aviary-200 step=(--sizes paper --seconds 6) measure=80
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} TQDM_DISABLE=1 PYTHONUNBUFFERED=1
export T2I_RUNS=$SCRATCH/runs T2I_DATA=${T2I_DATA:-$SCRATCH/data}
[ -z "${DRY:-}" ] || export CUDA_VISIBLE_DEVICES=
mkdir -p "$T2I_RUNS" "$T2I_DATA"
exec > >(tee -a "$OUT/log.txt") 2>&1

left() { echo $((BUDGET - SECONDS)); } # bash counts SECONDS from the start of the script
wants() { [[ " $PARTS " == *" $1 "* ]]; }
say() { printf '\n[%s s] %s\n' "$SECONDS" "$*"; }
part() { # part NAME LONGEST LEAST COMMAND...: run it, for at most LONGEST seconds and no longer than there are
	local name=$1 most=$2 least=$3 && shift 3
	local seconds=$(($(left) < most ? $(left) : most))
	if [ "$seconds" -lt "$least" ]; then
		say "$name: left out, $(left) s are not enough" && return
	fi
	say "$name (at most $seconds s): $*"
	timeout --kill-after=15 --signal=INT "$seconds" "$@" || say "$name: ended with status $? (124: its time was up)"
}
keep() { "$PYTHON" benchmarks/keep_runs.py "$T2I_RUNS" "$OUT" --megabytes "$KEEP_MB"; }

say "$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>&1 || echo no GPU)"
if [ -n "$WHEELS" ]; then
	"$PYTHON" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$SCRATCH/site" "$WHEELS"/*.whl || exit 1
	export PYTHONPATH=$PYTHONPATH:$SCRATCH/site
fi
"$PYTHON" - <<'PYTHON' || exit 1
import importlib.util, sys
names = "torch torchvision numpy PIL pandas scipy matplotlib seaborn safetensors filelock tqdm lightning_fabric torch_fidelity tyro"
if missing := [name for name in names.split() if importlib.util.find_spec(name) is None]:
    sys.exit(f"Python lacks {', '.join(missing)}. Put their wheels into a folder and name it: WHEELS=DIR.")
import torch
print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, CUDA {torch.version.cuda}: {torch.cuda.is_available()}")
PYTHON

wants step && part step 75 20 "$PYTHON" benchmarks/step.py "${step[@]}" --budget 55 --json "$OUT/step.json"
wants compile && part compile 90 60 \
	"$PYTHON" benchmarks/step.py "${step[@]}" --models attngan --precisions auto --compile --json "$OUT/step-compiled.json"

if wants train; then
	seconds=$(($(left) - measure))
	if [ "$seconds" -lt 20 ]; then
		say "train: left out, $(left) s are not enough" && exit 1
	fi
	record() { # record LOG DATASET MODEL...
		local log=$1 && shift
		timeout --kill-after=5 $((seconds + measure - 10)) "$PYTHON" -m t2i record "${@:2}" --dataset "$1" \
			--profile $profile --seeds 0 --parallel 4 --seconds "$seconds" --out "$OUT" >"$OUT/$log" 2>&1 ||
			say "train: the runs on $1 ended with status $?, see $log"
	}
	if [ -f "$FLOWERS" ]; then
		mkdir -p "$T2I_DATA/flowers" && tar -xf "$FLOWERS" -C "$T2I_DATA/flowers"
	elif [ -n "$FLOWERS" ]; then
		ln -sfn "$(cd "$FLOWERS" && pwd)" "$T2I_DATA/flowers"
	fi
	say "train ($seconds s, then measured): damsm $MODELS on $birds${FLOWERS:+, gan-cls on flowers}"
	# shellcheck disable=SC2086  # several models
	record train.txt "$birds" damsm $MODELS & trainings=$!
	[ -z "$FLOWERS" ] || record train-flowers.txt flowers gan-cls & flowers=$!
	while sleep 30; do keep >/dev/null 2>&1; done & keeper=$!
	wait $trainings $flowers
	kill $keeper 2>/dev/null
	cat "$OUT"/train*.txt
	keep
fi
say "done; results in $OUT: $(du -sh "$OUT" | cut -f1)"
