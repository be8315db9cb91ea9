#!/usr/bin/env bash
# Runs every `gpu` test and the benchmarks on a host that has an NVIDIA driver and no network.
#
# Where there is a network, pack a Python 3.10 with TensorRT and pycuda, and what the agent needs:
#   mapfile -t needs < <(tests/gpu/requirements.py)
#   ../shared/gpu_host/pack.sh .gpu_host "${needs[@]}"
# On the host, for each part of it:  .gpu_host/NN/unpack.sh DEST COUNT
# Then, from this repository's root:  tests/gpu/run_on_host.sh DEST/gpu_host [OUT]
# OUT (left out: a new folder) receives what was printed, the plan's verification and the plots.
set -euo pipefail
host=$(cd "${1:?usage: run_on_host.sh GPU_HOST_FOLDER [OUT]}" && pwd)
out=${2:-$(mktemp -d)}
mkdir -p "$out"
cd "$(dirname "$0")/../.."
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
. "$host/env.sh"

engines=$(mktemp -d)
trap 'rm -rf "$engines"' EXIT
cp -r engines/default engines/protocols "$engines/"
printf 'export_folder = "%s/in"\nstate_folder = "%s/state"\nengines_folder = "%s"\n' \
  "$engines" "$engines" "$engines" > "$engines/agent.toml"
engine() { gpu_python -c 'from build_engine.compile.cli import engine; engine()' "$@" --config "$engines/agent.toml"; }
bench() { gpu_python -c 'from build_engine.bench.cli import app; app()' "$@"; }

{
  nvidia-smi || true
  gpu_python -m pytest -o addopts= -m gpu -s -W default -p no:cacheprovider tests/gpu
  engine build --precision fp16
  plan=$(basename "$(ls -d "$engines"/plans/default-*)")
  engine verify "$plan"
  engine activate "$plan"
  cp "$engines/plans/$plan/verification.json" "$engines/plans/$plan/plan.json" "$out/"
  engine bench --to "$out/bench.png"
  bench latency --engines "$engines"
} 2>&1 | tee "$out/log"
