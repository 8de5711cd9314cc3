"""The drawing of a network: blocks in proportion, locks, layers behind buttons, nothing raw."""

from xml.etree import ElementTree

from lab.charts.network import (
    DrawnLayer,
    DrawnStage,
    Lock,
    block_size,
    network_alt,
    network_html,
    shape_text,
    short_count,
)


def stage(name: str, lock: Lock = "closed", shape: tuple[int, ...] = (64, 28, 28)) -> DrawnStage:
    return DrawnStage(
        name, shape, 1200, lock, (DrawnLayer("0.conv", "Convolution 3×3", shape, 1200),)
    )


STAGES = (stage("stem"), stage("layer1", "clock"), stage("head", "open", (2,)))


def html(stages: tuple[DrawnStage, ...] = STAGES) -> str:
    return network_html(stages, title="Tiny", picture=(3, 56, 56), second_phase=3)


def test_every_stage_is_a_button_that_opens_its_own_panel() -> None:
    tree = ElementTree.fromstring(html().replace("&nbsp;", " "))
    buttons = tree.findall(".//button")
    panels = {panel.get("id"): panel for panel in tree.findall(".//section")}
    assert len(buttons) == len(panels) == len(STAGES)
    for button, drawn in zip(buttons, STAGES, strict=True):
        label = button.get("aria-label") or ""
        assert label.startswith(f"{drawn.name}: output {shape_text(drawn.shape)}, 1,200 parameters")
        panel = panels[button.get("aria-controls")]
        assert panel.get("hidden") is not None
        first = panel.find(".//td")
        assert first is not None
        assert first.text == "Convolution 3×3"
        assert first.get("title") == "0.conv"  # the code's name is under the pointer alone


def test_the_legend_has_the_locks_that_are_used() -> None:
    assert "frozen, then trained from epoch 3 on" in html()
    assert "then trained" not in html((stage("stem"), stage("head", "open", (2,))))


def test_names_are_text_and_not_markup() -> None:
    assert "<img" not in html((stage('<img src=x onerror="1">'),))


def test_the_alternative_is_a_sentence() -> None:
    assert network_alt(STAGES, "Tiny") == (
        "Tiny: 3 stages, 3,600 parameters; trained: head; in the second phase also layer1."
    )
    assert network_alt(STAGES[2:], "One") == "One: 1 stage, 1,200 parameters; all trained."


def test_blocks_shrink_with_the_maps_and_grow_with_the_channels() -> None:
    picture = (3, 224, 224)
    sides, lengths = zip(
        *(block_size(s, picture) for s in ((64, 112, 112), (128, 56, 56), (512, 7, 7), (512,))),
        strict=True,
    )
    assert list(sides) == sorted(sides, reverse=True)
    assert list(lengths) == sorted(lengths)
    assert min(*sides, *lengths) >= 2


def test_numbers_are_short() -> None:
    assert [short_count(n) for n in (312, 9_400, 999_960, 2_226_434)] == [
        "312", "9.4 k", "1.0 M", "2.2 M",
    ]  # fmt: skip
    assert shape_text((64, 28, 14)) == "28×14×64"
    assert shape_text((512,)) == "512"
