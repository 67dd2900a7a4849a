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

[[ "${GITHUB_WORKFLOW_REF%%@*}" == "$GITHUB_REPOSITORY/.github/workflows/jetson.yml" ]] ||
    refuse "workflow $GITHUB_WORKFLOW_REF, not .github/workflows/jetson.yml"

case "$GITHUB_EVENT_NAME" in
    workflow_dispatch) ;; # takes write access
    push | schedule)
        [[ "$GITHUB_REF" == refs/heads/main ]] || refuse "$GITHUB_EVENT_NAME on $GITHUB_REF, not on main"
        ;;
    pull_request)
        added="$(python3 -I -c '
import json, sys
event = json.load(open(sys.argv[1], encoding="utf-8"))
print(event["label"]["name"] if event["action"] == "labeled" else "")
' "$GITHUB_EVENT_PATH")"
        [[ "$added" == "$label" ]] || refuse "a pull request that was not just given the label $label"
        ;;
    *) refuse "event $GITHUB_EVENT_NAME" ;;
esac
