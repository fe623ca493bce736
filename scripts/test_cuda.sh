#!/bin/sh
# Every operator's rows on the first GPU, to second order; sessions, plans and moves there; and some of all that under
# compute-sanitizer. Needs what scripts/cuda_bundle.sh packed, CUDA's libraries, and nothing else; ends within ten minutes.
# Prints `cuda: N passed, N failed`, or `cuda: not run, no device`; exit status 1 where something failed.
set -eu
cd "$(dirname "$0")/.."
results=build/test-results
sessions='Device*:*/Device*:Gpu*'
sample='*Softmax*:*MatMul*:*Gather*:*Scatter*:*Reduce*:*Conv*:*Pool*:*Transpose*:*Optimizer*:*Rnn*:*Gru*:*Lstm*'
session_sample='DeviceRepeatTest.*:DeviceReplayTest.*:DeviceMoveTest.AGraph*:DeviceChainTest.OperandsBroadcast:*/DeviceTrainingTest.GivesTheCpusNumbers/1'

. scripts/cuda_check_env.sh
export LD_LIBRARY_PATH="$libraries"
export GRADWIRE_TEST_DEVICE=cuda:0
mkdir -p $results
passed=0
failed=0

# run NAME SECONDS COMMAND...: counts GoogleTest's cases that ran; a part that breaks off is one failure.
run() {
  name=$1
  seconds=$2
  shift 2
  xml=$results/cuda-$name.xml
  rm -f "$xml"
  echo "== $name =="
  status=0
  timeout "$seconds" "$@" --gtest_brief=1 --gtest_output="xml:$xml" || status=$?
  count=$(sed -n 's/^<testsuites tests="\([0-9]*\)" failures="\([0-9]*\)".*/\1 \2/p' "$xml" 2>/dev/null || true)
  bad=${count#* }
  all=${count% *}
  if [ -z "$count" ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
    echo "$name: exit status $status"
    failed=$((failed + 1))
  else
    skipped=$(grep -c 'result="skipped"' "$xml" || true)
    passed=$((passed + all - bad - skipped))
    failed=$((failed + bad))
  fi
}

# sanitize TOOL SECONDS FILTER
sanitize() {
  run "$1" "$2" compute-sanitizer --tool "${1%%-*}" --error-exitcode 9 $work/gradwire_op_tests --gtest_filter="$3"
}

run rows 240 $work/gradwire_op_tests --gtest_filter="-$sessions"
run sessions 60 $work/gradwire_op_tests --gtest_filter="$sessions"
sanitize memcheck 90 "$sample"
sanitize memcheck-sessions 90 "$session_sample"
sanitize racecheck 90 "$sample"
echo "cuda: $passed passed, $failed failed"
[ $failed -eq 0 ]
