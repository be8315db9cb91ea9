#!/usr/bin/env bash
# Runs every `gpu` test and the benchmarks on a host that has an NVIDIA driver and no network.
#
# Where there is a network, pack a Python 3.10 with TensorRT and pycuda, and what the agent needs:
#   mapfile -t needs < <(tests/gpu/requirements.py)
#   ../shared/gpu_host/pack.sh .gpu_host "${needs[@]}"
# On the host, for each part of it:  .gpu_host/NN/unpack.sh DEST COUNT
# Then, from this repository's root:  tests/gpu/run_on_host.sh DEST/gpu_host [OUT]
# OUT (left out: a new folder) receives what was printed, what was measured as JSON, the plans' verifications
# and table.md, which is what the run ends with.
set -euo pipefail
host=$(cd "${1:?usage: run_on_host.sh GPU_HOST_FOLDER [OUT]}" && pwd)
out=${2:-$(mktemp -d)}
mkdir -p "$out"
cd "$(dirname "$0")/../.."
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
. "$host/env.sh"

engines=$(mktemp -d)
plans=$engines/state/plans
trap 'rm -rf "$engines"' EXIT
cp -r engines/default engines/protocols "$engines/"
printf 'export_folder = "%s/in"\nstate_folder = "%s/state"\nengines_folder = "%s"\n' \
  "$engines" "$engines" "$engines" > "$engines/agent.toml"
engine() { gpu_python -c 'from build_engine.compile.cli import engine; engine()' "$@" --config "$engines/agent.toml"; }
latency() { gpu_python -c 'from build_engine.bench.cli import app; app()' latency --json --engines "$engines" "$@"; }

{
  nvidia-smi || true
  gpu_python -m pytest -o addopts= -m gpu -s -W default -p no:cacheprovider tests/gpu
  for precision in fp32 fp16; do # the last one is measured in use
    engine build --precision "$precision"
    plan=$(basename "$(ls -d "$plans"/default-*_"$precision"_*)")
    engine verify "$plan"
    cp "$plans/$plan/verification.json" "$out/verification-$precision.json"
    cp "$plans/$plan/plan.json" "$out/plan-$precision.json"
  done
  engine activate "$plan"
  engine list
  engine bench --json --to "$out/bench.png" > "$out/bench.json"
  latency --plans "$plans" > "$out/latency.json"
  latency > "$out/cpu.json"
  gpu_python tests/gpu/table.py "$out" | tee "$out/table.md"
} 2>&1 | tee "$out/log"
