#!/bin/sh
# Speed on the first GPU against PyTorch there, which python3 has; see tests/bench/gpu.py. Needs what
# scripts/cuda_bundle.sh packed and CUDA's libraries. Prints `cuda: not run, no device` where there is no GPU.
# Usage: scripts/bench_cuda.sh [flags of tests/bench/run.py]; leaves build/bench/gpu.json and gpu.svg
set -eu
cd "$(dirname "$0")/.."
. scripts/cuda_check_env.sh
# Python keeps libraries of its own: ours are for the server alone.
mkdir -p $work/server
cat >$work/server/gradwire-server <<END
#!/bin/sh
LD_LIBRARY_PATH='$libraries' exec '$PWD/$work/gradwire-server' "\$@"
END
chmod +x $work/server/gradwire-server
PYTHONPATH="$PWD/$work/python" python3 tests/bench/run.py --build=$work/server "$@" gpu
