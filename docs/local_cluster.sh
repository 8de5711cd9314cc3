#!/usr/bin/env bash
# A Ray cluster of a head and two machines on this computer: trains one run there and takes all down.
#   docs/local_cluster.sh [arguments of `python -m lab train`]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
port=${PORT:-6399}
home=$(mktemp -d)
export PYTHONPATH=$PWD RAY_AUTH_MODE=token RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0
export RAY_AUTH_TOKEN_PATH=$home/token
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$home"' EXIT
ray=("$python" -m ray.scripts.scripts start --block --object-store-memory=100000000)

"${ray[@]}" --head --port="$port" --num-cpus=0 --include-dashboard=false > "$home/head.log" 2>&1 &
pids+=($!)
for machine in 1 2; do
    until grep -q "Ray runtime started" "$home/head.log"; do
        kill -0 "${pids[0]}" || { cat "$home/head.log"; exit 1; }
        sleep 1
    done
    LAB_NODE_HOME=$home/machine-$machine "${ray[@]}" --address="127.0.0.1:$port" --num-cpus=2 \
        > "$home/machine-$machine.log" 2>&1 &
    pids+=($!)
done
export LAB_HOME=$home/server LAB_EXECUTOR=ray://127.0.0.1:$port
"$python" -m lab train "$@"
