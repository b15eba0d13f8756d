#!/usr/bin/env bash
# One review in a pipeline: run it, write its report in the forms that pipelines read, keep its exit code.
#
# The GitHub Action and the GitLab job both call this. What the review is comes from variables, each optional and named
# like the flag of `robust review` that it stands for: ROBUST_SCENARIO (ci), ROBUST_LOG, ROBUST_COLUMNS,
# ROBUST_VOCABULARY, ROBUST_NAMES, ROBUST_MODEL, ROBUST_TRUST_PICKLE (true), ROBUST_BASELINE, ROBUST_SEED, ROBUST_WORKERS,
# ROBUST_ENGINE, ROBUST_MAX_TIME, ROBUST_STRICT (true), ROBUST_OUT (robust-out). Arguments are handed on to `robust review`.
#
# Written: $ROBUST_OUT, with report.md, junit.xml and report.sarif in it, and with ROBUST_BASELINE comparison.md; where
# GitHub asks for them, what is Markdown also as the job's summary, and the exit code as the output `code`. With a
# baseline 1 also means that the model is shown to be less robust than that one. A runner that cancels a job tells this
# script alone: it hands that on, so that the review ends in order (130) and leaves no process; what is done is kept, and
# the next run goes on from it.
set -euo pipefail

out=${ROBUST_OUT:-robust-out}
flags=()
for flag in log columns vocabulary names model baseline seed workers engine max-time; do
  name=ROBUST_$(tr 'a-z-' 'A-Z_' <<<"$flag")
  if [[ -n ${!name:-} ]]; then
    flags+=("--$flag" "${!name}")
  fi
done
for flag in strict trust-pickle; do
  name=ROBUST_$(tr 'a-z-' 'A-Z_' <<<"$flag")
  if [[ ${!name:-} == true || ${!name:-} == 1 ]]; then
    flags+=("--$flag")
  fi
done

started=$(mktemp)
trap 'rm -f "$started"' EXIT

robust review "${ROBUST_SCENARIO:-ci}" ${flags[@]+"${flags[@]}"} --out "$out" "$@" &
review=$!
stopped=
# TERM for both: a process in the background does not hear INT
trap 'stopped=1; kill -TERM "$review" 2>/dev/null || :' INT TERM
code=0
wait "$review" || code=$?
while [[ $stopped ]]; do # the signal ended the wait, not the review
  stopped=
  code=0
  wait "$review" || code=$?
done

# only what this run wrote: a cached folder may hold the results of another
if [[ $out/results.json -nt $started ]]; then
  # a form that cannot be written says so, and changes no verdict
  robust report "$out" --format md --out "$out/report.md" || :
  robust report "$out" --format junit --out "$out/junit.xml" || :
  robust report "$out" --format sarif --out "$out/report.sarif" || :
  rm -f "$out/comparison.md"
  if [[ -n ${ROBUST_BASELINE:-} ]]; then
    # only written down here: the code of the review is that of its comparison, too
    robust compare "$ROBUST_BASELINE" "$out" --format md >"$out/comparison.md" || :
    [[ -s $out/comparison.md ]] || rm -f "$out/comparison.md" # it was refused
  fi
  if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
    for text in comparison report; do
      [[ -f $out/$text.md ]] || continue
      # GitHub refuses a summary of more than 1 MiB
      if (($(wc -c <"$out/$text.md") < 500000)); then
        cat "$out/$text.md" >>"$GITHUB_STEP_SUMMARY"
      else
        echo "The $text is too long for a summary: see the artifacts." >>"$GITHUB_STEP_SUMMARY"
      fi
      [[ $text == report ]] || echo >>"$GITHUB_STEP_SUMMARY"
    done
  fi
fi
if [[ -n ${GITHUB_OUTPUT:-} ]]; then
  echo "code=$code" >>"$GITHUB_OUTPUT"
fi
exit "$code"
