#!/usr/bin/env bash
# Each tool once on the same 50 rows, with a judge of its own each time: run.sh TOOLS OUT
#
# TOOLS has a virtual environment a tool (graders, inspect_ai with openai, deepeval, autoevals with
# openai, openevals with langchain-openai)
# and promptfoo's node_modules; OUT gets what each printed, its exit code, its seconds, and how often rows were asked.
# With WELL=1 the judge has no faults.
# With WELL=1 the judge has no faults.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tools=$(realpath "$1") out=$(mkdir -p "$2" && realpath "$2")
export HOME=$out/home OPENAI_API_KEY=none LOCAL_API_KEY=none LOCAL_BASE_URL=http://127.0.0.1:8391/v1 NO_COLOR=1 COLUMNS=150
export PROMPTFOO_DISABLE_TELEMETRY=1 PROMPTFOO_DISABLE_UPDATE=1 PROMPTFOO_CACHE_ENABLED=false DEEPEVAL_TELEMETRY_OPT_OUT=YES
mkdir -p "$HOME"

try() { # NAME COMMAND...: in the tool's folder
  local name=$1 judge started
  python3 "$here/judge.py" "$here/rows.jsonl" 8391 ${WELL:+well} & judge=$!
  until curl -sf http://127.0.0.1:8391/ >/dev/null; do sleep 0.1; done
  started=$(date +%s.%N)
  (cd "$here/$name" && timeout 300 "${@:2}") >"$out/$name.txt" 2>&1
  echo "exit $?  $(echo "$(date +%s.%N) - $started" | bc) s  ${*:2}" | tee "$out/$name.exit"
  curl -s http://127.0.0.1:8391/ >"$out/$name.asked"
  kill $judge
  wait $judge 2>/dev/null
}

[ $# -gt 2 ] && only=("${@:3}") || only=(graders promptfoo inspect deepeval autoevals openevals)
for name in "${only[@]}"; do
  case $name in
    graders) try graders "$tools/graders/bin/grader" test graders.toml --config graders.toml -o "$out/results" ;;
    promptfoo)
      # its JSONL holds test cases, not rows; its CSV holds rows
      python3 -c 'import csv, json, sys; rows = [json.loads(line) for line in open(sys.argv[1])]
writer = csv.DictWriter(open(sys.argv[2], "w"), rows[0]); writer.writeheader(); writer.writerows(rows)' "$here/rows.jsonl" "$out/rows.csv"
      export ROWS=$out/rows.csv
      try promptfoo "$tools/promptfoo/node_modules/.bin/promptfoo" eval --no-cache --no-progress-bar -o "$out/promptfoo.json"
      ;;
    inspect) try inspect "$tools/inspect_ai/bin/inspect" eval capitals.py --model none --display plain --max-retries 3 --no-fail-on-error --log-dir "$out/inspect-logs" ;;
    deepeval) try deepeval "$tools/deepeval/bin/deepeval" test run test_capitals.py ;;
    autoevals) try autoevals "$tools/autoevals/bin/python" capitals.py ;;
    openevals) try openevals "$tools/openevals/bin/python" capitals.py ;;
  esac
done
