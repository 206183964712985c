"""What the tests stand on: needs that are named, children that end, sweeps that sample."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from .support import children, sweep
from .support.children import ROOT, started
from .support.needs import TABLE, TOOLS, check, lacking, need

PRINT = """
import signal
print("ignored" if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else "default")
print("blocked" if signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, ()) else "unblocked")
"""


# Needs --------------------------------------------------------------------------------------------


def test_a_need_outside_the_vocabulary_is_a_mistake() -> None:
    """A misspelt one would skip its test for ever."""
    with pytest.raises(pytest.UsageError, match="strase"):
        check("strase")
    for name in (*TABLE, *TOOLS, "/dev/null", "stamina"):
        check(name)


def test_what_is_lacking_skips_by_name_and_reason() -> None:
    """With what was asked for in front."""
    assert lacking("/dev/null") == ""
    need("/dev/null")
    with pytest.raises(pytest.skip.Exception, match=r"^needs /nowhere: it does not exist$"):
        need("/dev/null", "/nowhere")


def test_a_tool_that_is_not_on_the_path_is_lacking() -> None:
    """And the Debian package that has it is named."""
    code = "from tests.support.needs import lacking; print(lacking('strace'))"
    done = children.run([sys.executable, "-c", code], env={"PATH": "/nowhere"})
    assert done.stdout == "there is no strace (Debian: strace)\n"


def test_every_test_asks_by_these_names() -> None:
    """Whatever depends on the machine: then one list says what a machine must have."""
    by_itself = re.compile(
        r"importorskip|skipif|pytest\.skip\(|^\s+(?:raise )?SkipTest", re.MULTILINE
    )
    for path in (ROOT / "tests").rglob("*.py"):
        if path.parent.name != "support" and path.name != "test_support.py":
            assert not by_itself.search(path.read_text()), path


def test_no_test_is_named_by_an_address_in_memory(request: pytest.FixtureRequest) -> None:
    """The workers of a run must agree on the names, and a person must find the test again."""
    names = [item.nodeid for item in request.session.items]
    assert not [name for name in names if re.search(r"\bat 0x[0-9a-f]{6}", name)]


# Children -----------------------------------------------------------------------------------------


def test_what_a_developer_set_does_not_reach_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what the test run was told; what the test gives it does."""
    for name in ("PYTHONASYNCIODEBUG", "NO_COLOR", "AIOCONNECT_NO_SKIPS", "RES_OPTIONS", "LC_ALL"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TZ", "UTC")
    given = children.environment({"NO_COLOR": "2"})
    assert given["NO_COLOR"] == "2"
    assert given["TZ"] == "UTC"
    assert not {"PYTHONASYNCIODEBUG", "AIOCONNECT_NO_SKIPS", "RES_OPTIONS", "LC_ALL"} & given.keys()
    assert given["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)


def test_a_child_has_default_signals_where_the_tests_ignore_them() -> None:
    """In the background, under nohup, from cron."""
    code = f"""
import signal, sys
from tests.support import children
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
{{}}
print(children.run([sys.executable, "-c", {PRINT!r}]).stdout)
"""
    give = "children.give_default_signals()"
    default = children.run([sys.executable, "-c", code.format(give)], cwd=ROOT)
    assert default.stdout.split() == ["default", "unblocked"]
    handed_down = children.run([sys.executable, "-c", code.format("")], cwd=ROOT)
    assert handed_down.stdout.split() == ["ignored", "blocked"]


def test_a_child_ends_when_its_test_fails() -> None:
    """At once: nobody waits for a program that hangs."""
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), started(["sleep", "60"]) as process:
        _ = 1 // 0
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 30


def test_a_child_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its test is content."""
    monkeypatch.setattr(children, "PATIENCE", 0.1)
    with pytest.raises(subprocess.TimeoutExpired), started(["sleep", "60"]) as process:
        pass
    assert process.returncode == -signal.SIGKILL


def test_every_python_is_started_here() -> None:
    """In a clean environment, and with an end."""
    by_itself = re.compile(r"subprocess\.\w+\(\s*\[\s*\*?\(?(?:sys\.executable|COMMAND)")
    for path in (ROOT / "tests").rglob("*.py"):
        assert not by_itself.search(path.read_text()), path


# Sweeps -------------------------------------------------------------------------------------------


def test_a_sample_is_seeded_in_order_and_has_both_ends() -> None:
    """The same in every worker and every run; few cases are all taken."""
    taken = sweep.sample(range(1000), most=20)
    assert taken == sorted(set(taken)) == sweep.sample(range(1000), most=20)
    assert (len(taken), taken[0], taken[-1]) == (20, 0, 999)
    assert sweep.sample("abc") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("environment", "prints"),
    [
        ({}, "20 100"),
        ({"AIOCONNECT_SWEEP": "1"}, "1000 2000"),
    ],
)
def test_a_sweep_takes_everything(environment: dict[str, str], prints: str) -> None:
    """As ``make sweep`` asks for."""
    code = (
        "from tests.support.sweep import examples, sample;"
        "print(len(sample(range(1000), most=20)), examples(100))"
    )
    done = children.run([sys.executable, "-c", code], cwd=ROOT, env=environment)
    assert done.stdout.strip() == prints


def test_another_seed_is_another_sample() -> None:
    """By which a failure can be looked for further."""
    code = "from tests.support.sweep import sample; print(sample(range(1000)))"
    environments = ({}, {"AIOCONNECT_SEED": "1"}, {"AIOCONNECT_SEED": "1"})
    first, second, third = (
        children.run([sys.executable, "-c", code], cwd=ROOT, env=each).stdout
        for each in environments
    )
    assert first != second == third


def test_a_file_that_takes_samples_has_tests_marked_as_sweeps() -> None:
    """Or ``make sweep`` would never run the whole of them."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text()
        if re.search(r"^from \.+support\.sweep import", text, re.MULTILINE):
            assert "@pytest.mark.sweep" in text, path.name
