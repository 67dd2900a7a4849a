"""Who else uses the CPU, on a /proc that is synthetic."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from estimator.measure.device import this_cpu as looking
from estimator.measure.device.state import refusals_after
from estimator.measure.device.this_cpu import CpuReader, CpuTimes, contention, read_cpu_times

TICKS = os.sysconf("SC_CLK_TCK")
OWN, SORT, IDLE, KWORKER = 10, 20, 30, 40


class Proc:
    """A /proc with four processes, and a clock."""

    def __init__(self, root, monkeypatch):
        self.root, self.now_s = root, 100.0
        self.used_s = {OWN: 5.0, SORT: 1.0, IDLE: 1.0, KWORKER: 1.0}
        self.unseen_s, self.stolen_s = 3.0, 0.0
        monkeypatch.setattr(looking.time, "monotonic", lambda: self.now_s)
        self.write()

    def write(self):
        names = {OWN: "python", SORT: "sort (x) y", IDLE: "sleep", KWORKER: "kworker/0:1"}
        for pid, used_s in self.used_s.items():
            parent = 2 if pid == KWORKER else 1
            fields = [str(parent), *["0"] * 9, str(round(used_s * TICKS)), "0", *["0"] * 30]
            path = self.root / "proc" / str(pid) / "stat"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{pid} ({names[pid]}) R {' '.join(fields)}\n", encoding="utf-8")
        busy = round((sum(self.used_s.values()) + self.unseen_s) * TICKS)
        line = f"cpu  0 {busy} 0 999999 0 0 0 {round(self.stolen_s * TICKS)} 0 0\n"
        (self.root / "proc" / "stat").write_text(line, encoding="utf-8")

    def run(self, seconds, unseen=0.0, stolen=0.0, **cpus):
        """Lets this time pass, in which these processes use so many CPUs."""
        self.now_s += seconds
        for name, share in cpus.items():
            self.used_s[globals()[name]] += share * seconds
        self.unseen_s += unseen * seconds
        self.stolen_s += stolen * seconds
        self.write()


@pytest.fixture
def proc(tmp_path, monkeypatch):
    return Proc(tmp_path, monkeypatch)


def seen(proc, seconds=1.0, **happened):
    before = read_cpu_times(proc.root)
    proc.run(seconds, **happened)
    return contention(before, read_cpu_times(proc.root), [OWN])


def test_a_process_of_the_same_id_and_another_name_begins_anew(proc):
    before = read_cpu_times(proc.root)
    path = proc.root / "proc" / str(SORT) / "stat"
    proc.run(1.0, OWN=1.0)
    path.write_text(path.read_text().replace("sort (x) y", "grep").replace(f" {TICKS} ", f" {TICKS // 2} "))
    assert "grep (process 20)" in contention(before, read_cpu_times(proc.root), [OWN])


def test_where_proc_says_nothing_nothing_is_known(tmp_path):
    times = read_cpu_times(tmp_path)
    assert (times.busy_s, dict(times.processes)) == (None, {})
    assert contention(times, times.__class__(times.at_s + 1, None, 0.0, {}), []) == ()


def test_a_reader_forgets_what_was_before_and_averages_over_its_looks(proc):
    reader = CpuReader(proc.root)
    proc.run(1.0, SORT=1.0)
    reader.begin()
    proc.run(0.1, SORT=1.0)
    assert reader.read([OWN]).others == ()  # too short a look
    proc.run(1.0, OWN=1.0)
    before = reader.read([OWN])
    proc.run(1.0, SORT=1.0)
    after = reader.read([OWN])
    assert (before.others, after.others) == ((), ("sort (x) y (process 20)",))
    assert list(refusals_after(before, (), after)) == ["another process used it meanwhile: sort (x) y (process 20)"]
    reader.begin(look_s=10.0)
    for cpus in (1.0, *[0.0] * 9):
        proc.run(1.0, SORT=cpus)
        assert reader.read([OWN]).others == ()  # a tenth of a CPU over ten seconds


@pytest.mark.parametrize(
    ("happened", "who"),
    [
        ({"OWN": 2.0, "KWORKER": 0.9}, ()),
        ({"SORT": 0.2}, ()),
        ({"SORT": 0.21}, ("sort (x) y (process 20)",)),
        ({"stolen": 0.2}, ()),
        ({"stolen": 0.21}, ("other guests of the hypervisor",)),
        ({"unseen": 0.4}, ()),
        ({"unseen": 0.41}, ("processes that are not seen here",)),
        ({"SORT": 0.19, "IDLE": 0.19}, ()),
        ({"SORT": 0.2, "IDLE": 0.2, "unseen": 0.05}, ("processes that are not seen here",)),
        ({"SORT": 0.19, "IDLE": 0.19, "unseen": 0.05}, ("processes that are not seen here",)),
        ({"SORT": 0.5, "IDLE": 0.5}, ("sleep (process 30)", "sort (x) y (process 20)")),
    ],
)
def test_contention_is_who_uses_more_than_a_fifth_of_a_cpu(proc, happened, who):
    assert tuple(sorted(seen(proc, **{"seconds": 10.0, "OWN": 1.0, **happened}))) == who


def test_a_process_that_began_meanwhile_used_all_it_has_used(proc):
    before = read_cpu_times(proc.root)
    before.processes.pop(SORT)
    proc.run(2.0, OWN=1.0)
    assert contention(before, read_cpu_times(proc.root), [OWN]) == ("sort (x) y (process 20)",)


def test_a_sandbox_that_says_no_busy_time_tells_of_processes_alone(proc):
    for line in ("cpu  0 0 0 0 0 0 0 0 0 0\n", "", "cpu  what\n"):
        (proc.root / "proc" / "stat").write_text(line)
        times = read_cpu_times(proc.root)
        assert (times.busy_s, times.stolen_s) == (None, 0.0)
        assert set(times.processes) == {OWN, SORT, IDLE, KWORKER}
        assert times.kernel == {KWORKER}


def test_times_are_those_of_proc_in_seconds(proc):
    busy = f"cpu  {TICKS} {2 * TICKS} {4 * TICKS} 999 999 999 999 {8 * TICKS} 99 99\n"  # user, nice, system; steal
    (proc.root / "proc" / "stat").write_text(busy)
    fields = ["1", *["0"] * 9, str(3 * TICKS), str(2 * TICKS), *["0"] * 30]  # user and system
    line = f"{OWN} (py?thon) R {' '.join(fields)}\n".encode().replace(b"?", b"\xff")
    (proc.root / "proc" / str(OWN) / "stat").write_bytes(line)
    (proc.root / "proc" / str(SORT) / "stat").write_text("it has just ended")
    times = read_cpu_times(proc.root)
    assert (times.busy_s, times.stolen_s) == (pytest.approx(7.0), pytest.approx(8.0))
    assert times.processes[OWN] == ("py\ufffdthon", pytest.approx(5.0))
    assert SORT not in times.processes


@pytest.mark.parametrize(
    ("seconds", "who"), [(0.24, ()), (0.25, ("sort (x) y (process 20)",)), (0.26, ("sort (x) y (process 20)",))]
)
def test_a_look_takes_a_quarter_of_a_second(proc, seconds, who):
    for begin in (lambda reader: reader.begin(), lambda reader: reader.begin(look_s=0.1)):
        reader = CpuReader(proc.root)
        begin(reader)
        proc.run(seconds, SORT=1.0)
        assert reader.read([OWN]).others == who


def test_where_one_of_two_looks_says_no_busy_time_only_processes_are_judged():
    first, later = CpuTimes(1.0, 5.0, 0.0, {}), CpuTimes(2.0, 9.0, 0.0, {})
    assert contention(first, later, []) == ("processes that are not seen here",)
    assert contention(replace(first, busy_s=None), later, []) == ()
    assert contention(first, replace(later, busy_s=None), []) == ()


def test_processes_that_account_for_more_than_the_machine_was_busy_hide_nobody():
    first = CpuTimes(0.0, 0.0, 0.0, {1: ("a", 0.0), 2: ("b", 0.0), 3: ("c", 0.0)})
    later = CpuTimes(10.0, 1.0, 0.0, {1: ("a", 1.5), 2: ("b", 1.5), 3: ("c", 1.5)})
    assert contention(first, later, []) == ("processes that are not seen here",)


def test_a_look_begins_where_the_last_one_ended(proc):
    reader = CpuReader(proc.root)
    assert reader.read([OWN]).others == ()  # nobody has looked yet
    reader.begin()
    proc.run(1.0, SORT=1.0)
    assert reader.read([OWN]).others == ("sort (x) y (process 20)",)
    proc.run(0.5)
    assert reader.read([OWN]).others == ()


@pytest.mark.parametrize(
    ("busy_s", "stolen_s", "who"),
    [
        (4.0, 0.0, ()),
        (4.01, 0.0, ("processes that are not seen here",)),
        (0.0, 2.0, ()),
        (0.0, 2.01, ("other guests of the hypervisor",)),
    ],
)
def test_what_was_used_before_the_first_look_is_nobody_s_now(busy_s, stolen_s, who):
    for busy_before_s, stolen_before_s in ((0.0, 0.0), (64.0, 32.0)):
        first = CpuTimes(50.0, busy_before_s, stolen_before_s, {})
        later = CpuTimes(60.0, busy_before_s + busy_s, stolen_before_s + stolen_s, {})
        assert contention(first, later, []) == who
