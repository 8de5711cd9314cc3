"""What programs and notebooks may rely on: a name that goes or changes is noticed here."""

import inspect

from lab import notebook

PUBLIC = {
    "Comparison": ["frame", "names", "pairs", "settings", "verdict"],
    "Dataset": ["arrays", "class_names", "frame", "info", "name"],
    "Explanation": ["answer", "drawn", "is_meaningful", "map", "picture", "target"],
    "Run": [
        "classify", "classify_many", "config", "confusion", "epochs", "explain", "export",
        "figure", "folder", "id", "name", "per_class", "picture", "predictions", "resume",
        "row", "status", "steps", "test", "verdicts", "wrong",
    ],
    "Sweep": ["best", "config", "frame", "id", "runs", "status"],
}  # fmt: skip
FUNCTIONS = {
    "add_dataset": ["path", "name", "replace", "fit", "image_size", "answers"],
    "compare": ["runs", "split"],
    "dataset": ["name"],
    "datasets": [],
    "run": ["name"],
    "runs": [],
    "sweep": ["axes", "base", "name", "kind", "seeds", "trials", "metric", "knobs"],
    "train": ["config", "name", "recipe", "live", "knobs"],
}


def test_the_surface_is_what_is_promised() -> None:
    assert set(notebook.__all__) == {*PUBLIC, *FUNCTIONS, "LabError", "RunConfig"}
    for name, members in PUBLIC.items():
        kind = getattr(notebook, name)
        names = {*vars(kind), *kind.__dataclass_fields__}
        assert sorted(each for each in names if not each.startswith("_")) == members, name
    for name, parameters in FUNCTIONS.items():
        assert list(inspect.signature(getattr(notebook, name)).parameters) == parameters, name


def test_all_of_it_is_explained() -> None:
    for name in notebook.__all__:
        each = getattr(notebook, name)
        assert each.__doc__, name
        for member in PUBLIC.get(name, ()):
            value = inspect.getattr_static(each, member, None)
            if callable(value) or isinstance(value, property):
                assert inspect.getdoc(value), f"{name}.{member}"
