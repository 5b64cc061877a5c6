"""The examples of CONTRIBUTING.md work as they stand there, and are as short as promised."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzzer.converters.base import Converter
from fuzzer.runtimes.base import Runtime
from generators.choices import SeededChoices
from generators.frontends.base import feeds_of, frontend
from generators.random_graphs import Weights, grow
from tests.fuzzer.graphs import unary

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TARGET = "torch.nn.functional.channel_shuffle"


def run(marker: str) -> dict[str, Any]:
    """The names that the example with that text defines."""
    (example,) = [example for example in EXAMPLES if marker in example]
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "CONTRIBUTING.md", "exec"), namespace)
    return namespace


@pytest.fixture
def registry() -> Iterator[Any]:
    """torch's registry without the example's operator, and afterwards as it was."""
    found = frontend("torch").registry()
    before = found._operators.pop(TARGET, None)
    yield found
    found._operators.pop(TARGET, None)
    if before is not None:
        found._operators[TARGET] = before


def test_there_are_three_examples_under_thirty_lines() -> None:
    assert len(EXAMPLES) == 3
    for example in EXAMPLES:
        code = [line for line in example.splitlines() if line.strip() and not line.startswith("#")]
        assert len(code) < 30


def test_the_operator(registry: Any) -> None:
    run("channel_shuffle")
    torch = frontend("torch")
    weights = Weights.of(torch, {target: float(target == TARGET) for target in registry.targets()})
    groups = set()
    for seed in range(20):
        grown = grow(torch, SeededChoices(seed), nodes=2, weights=weights)
        assert set(grown.case.graph.operators()) == {TARGET}
        groups.update(value for node in grown.case.graph.nodes for key, value in node.kwargs if key == "groups")
    assert len(groups) > 2


def test_the_converter_and_the_runtime() -> None:
    converter = run("OnnxVersionConverter")["OnnxVersionConverter"]()
    runtime = run("OnnxReference")["OnnxReference"]()
    assert isinstance(converter, Converter)
    assert isinstance(runtime, Runtime)
    assert converter.availability().available
    assert runtime.availability().available
    case = unary("torch", "exp", "float32", 2, 3)
    torch = frontend("torch")
    model = torch.load(case)
    expected = torch.execute(model)
    artifact = converter.convert(model, {"to": 21})
    converter.validate(artifact, model)
    feeds = feeds_of(case)
    (actual,) = runtime.run(runtime.load(artifact, {}), artifact, feeds)
    np.testing.assert_allclose(actual, expected[0], rtol=1e-6)

    # What a reproducer would do with the scripts.
    names: dict[str, Any] = {"model": model.native, "inputs": list(model.arguments), "feeds": list(feeds)}
    exec(converter.script({"to": 21}), names)
    exec(runtime.script({}), names)
    np.testing.assert_array_equal(names["actual"][0], actual)


def test_the_entry_points_name_the_examples() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for group in tomllib.loads(text)["project"]["entry-points"].values():
        for name, target in group.items():
            module, _, attribute = target.partition(":")
            path = module.replace(".", "/") + ".py"
            (example,) = [example for example in EXAMPLES if example.startswith(f"# {path}")]
            assert f"class {attribute}(" in example
            assert f'name = "{name}"' in example
