"""The tables of benchmarks/RESULTS.md."""

from __future__ import annotations

from benchmarks.results import Row, table


def test_a_ratio_is_of_the_medians() -> None:
    row = Row("an epoch", plain=(4.0, 2.0, 9.0), lab=(1.0, 3.0, 2.0), target="<= 0.6", note="n")
    assert table([row]).splitlines() == [
        "| work | plain PyTorch, s | Epochlab, s | ratio | target | note |",
        "| --- | --- | --- | --- | --- | --- |",
        "| an epoch | 4 (2 to 9) | 2 (1 to 3) | **0.5** | <= 0.6 | n |",
    ]


def test_columns_of_the_tuned_script_come_with_it() -> None:
    without = Row("one", plain=(4.0,), lab=(1.0,), target="")
    tuned = Row("two", plain=(4.0,), lab=(1.0,), target="", tuned=(2.0,))
    assert table([without, tuned]).splitlines()[2:] == [
        "| one | 4 | 1 | **0.25** |  |  |  |  |",
        "| two | 4 | 1 | **0.25** | 2 | 0.5 |  |  |",
    ]
