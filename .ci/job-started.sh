#!/usr/bin/env bash
# The lock of the device: the runner calls a copy of this, which no pull request can edit, before every job
# (ACTIONS_RUNNER_HOOK_JOB_STARTED, docs/runner.md), and a job that it refuses does not start.
# Let in: .github/workflows/jetson.yml, on main, by hand, or for the labelling of a pull request with the label below.
set -euo pipefail

label=measure-on-jetson

refuse() {
    echo "refused by the device: $1" >&2
    exit 1
}

workflow="${GITHUB_WORKFLOW_REF:-none}"
[[ "${workflow%%@*}" == "$GITHUB_REPOSITORY/.github/workflows/jetson.yml" ]] ||
    refuse "workflow $workflow, not .github/workflows/jetson.yml"

case "$GITHUB_EVENT_NAME" in
    workflow_dispatch) ;; # takes write access
    push | schedule)
        [[ "$GITHUB_REF" == refs/heads/main ]] || refuse "$GITHUB_EVENT_NAME on $GITHUB_REF, not on main"
        ;;
    pull_request)
        python3 -I -c '
import json, sys
event = json.load(open(sys.argv[1], encoding="utf-8"))
sys.exit((event["action"], event["label"]["name"]) != ("labeled", sys.argv[2]))
' "$GITHUB_EVENT_PATH" "$label" 2>/dev/null || refuse "a pull request that was not just given the label $label"
        ;;
    *) refuse "event $GITHUB_EVENT_NAME" ;;
esac
