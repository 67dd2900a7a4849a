"""Live runs as a user starts them, on this machine's own CPU with tiny budgets."""

import json

MODEL = "mobilenet_v3_small"


def test_a_live_run_measures_and_says_how(live):
    run = live("--benchmark-json", "b.json", "--benchmark-autosave", "--runs", "2")
    run.assert_outcomes(passed=1, deselected=run.parseoutcomes()["deselected"])
    run.stdout.fnmatch_lines(
        [
            "device: cpu (as asked)",
            "protocol: 1 warm-ups, then 3 rounds, in 3 *; each model in 2 fresh processes",
            "local-cpu is not calibrated on this machine: *",
            "  Model *Meas (ms) *GFLOP *GFLOP/s *Ops *us an op",
            f"  {MODEL} * 0.121 *",
            "  Known without a calibration: latency and work. *",
            f"  {MODEL}  *: no baseline",
            "  * s of them warm-ups and rounds: overhead * %",
            "  * threads; at most * page faults a forward",
        ]
    )
    assert not any("/3" in line for line in run.outlines)  # no progress where the output is no terminal
    assert not live.folder.joinpath("record-models.toml").exists()
    data = json.loads((live.suite.path / "b.json").read_text(encoding="utf-8"))
    assert data["machine_info"]["device"]["hardware"] == "local-cpu"
    (benchmark,) = data["benchmarks"]
    info = benchmark["extra_info"]
    assert benchmark["stats"]["rounds"] == 6
    assert {"est_ms", "error_pct", "rating", "p90_ms", "clocks", "temperature_c"} <= set(info)
    assert benchmark["stats"]["max"] * 1e3 >= info["p90_ms"] * 0.999
    assert list((live.suite.path / ".benchmarks" / "local-cpu" / "default-fp32-b1").rglob("*.json"))
    again = live.takes({MODEL: 5.0}, "--benchmark-compare")
    again.assert_outcomes(passed=1, deselected=again.parseoutcomes()["deselected"])
    again.stdout.fnmatch_lines(["*0001_*"])
