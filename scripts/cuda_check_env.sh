# shellcheck shell=sh
# Sourced by scripts/test_cuda.sh and scripts/bench_cuda.sh: unpacks what scripts/cuda_bundle.sh packed, and says where
# CUDA's libraries are. Ends the script where there is no GPU, or nothing was packed.
work=build/cuda-check
if ! nvidia-smi -L >/dev/null 2>&1; then
  echo 'cuda: not run, no device'
  exit 0
fi
fail() {
  echo "$1"
  echo 'cuda: 0 passed, 1 failed'
  exit 1
}
if [ -f $work.tar.xz ]; then
  rm -rf $work
  xz -dc $work.tar.xz | tar -C build -xf -
fi
[ -x $work/gradwire_op_tests ] || fail "$work.tar.xz is missing: make cuda-bundle, where the packages are"
# CUDA's libraries may be a part of the toolkit, or of a Python environment.
folder_of() {
  found=$(ldconfig -p | awk -v name="$1" '$1 == name {print $NF; exit}')
  [ -n "$found" ] || found=$(find /usr/local/cuda*/ /usr/lib /opt /usr/local/lib -name "$1" 2>/dev/null | head -1)
  [ -z "$found" ] || dirname "$found"
}
libraries="$PWD/$work/lib"
for name in libcublasLt.so.13 libcudnn.so.9 libnvrtc.so.13; do
  folder=$(folder_of $name)
  [ -n "$folder" ] || echo "no $name"
  libraries="$libraries${folder:+:$folder}"
done
libraries="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
