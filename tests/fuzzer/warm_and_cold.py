"""Converts random graphs with torch.onnx-dynamo twice, with and without what it keeps between calls, and tells of both.

Run as ``python -m tests.fuzzer.warm_and_cold FILE FIRST STOP WAYS``, in a process that may die: what it does next and
what came of it is appended to FILE as JSON, line by line. WAYS is ``warm,cold`` or one of the two.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from fuzzer.converters import torch_onnx_dynamo
from fuzzer.converters.base import converters
from fuzzer.failures import describe_exception
from fuzzer.formats import InvalidModel, Setting, Unsupported
from fuzzer.known import shipped
from generators.choices import SeededChoices
from generators.frontends.base import frontend
from generators.graph import Case
from generators.patterns import Avoided
from generators.random_graphs import Weights, grow
from generators.transforms import union

#: Seconds for one step; a process that takes longer is ended by a signal.
DEADLINE = 300
#: Every so many numbers a pack is converted in place of a single graph, and this is how many graphs it has.
PACK_EVERY, PACK = 25, 8

_WARM = torch_onnx_dynamo.warm_exporter


def draw(number: int) -> tuple[Case, dict[str, Setting]]:
    """Graph and settings of this number, as campaigns draw them: from a handful of seeds, all operators and dtypes,
    but rarely what the converter is known to refuse."""
    converter, ours = converters()["torch.onnx-dynamo"], frontend("torch")
    weights = Weights.of(ours)
    known = Avoided(entry.target for entry in shipped() if entry.converter == converter.name)
    seed, index = number % 5, number // 5
    size = PACK if number % PACK_EVERY == PACK_EVERY - 1 else 1
    cases = [
        grow(ours, SeededChoices(seed, index, part), nodes=10, weights=weights, avoid=known).case
        for part in range(size)
    ]
    settings = {option.name: option.sample(SeededChoices(seed, index, 1000)) for option in converter.options}
    return (cases[0] if size == 1 else union(cases).case), settings


def convert(case: Case, settings: dict[str, Setting], way: str) -> tuple[str, bytes]:
    """The artifact's digest and bytes, or what was raised: the type, stage, place and normalised message."""
    converter = converters()["torch.onnx-dynamo"]
    torch_onnx_dynamo.warm_exporter = _WARM if way == "warm" else contextlib.nullcontext
    try:
        artifact = converter.convert(frontend("torch").load(case), settings)
    except (Unsupported, InvalidModel) as refusal:
        return f"{type(refusal).__name__}: {refusal}", b""
    except Exception as error:  # noqa: BLE001  (whatever a subject raises is to be the same)
        stage, detail = describe_exception(converter, error)
        return f"{stage.value}: {detail}", b""
    return f"{hashlib.sha256(artifact.data).hexdigest()} {artifact.inputs} {artifact.outputs}", artifact.data


def main(file: str, first: str, stop: str, ways: str) -> None:
    import torch

    torch.set_num_threads(1)
    converters()["torch.onnx-dynamo"].warm_up()
    with open(file, "a") as records:

        def tell(**record: Any) -> None:
            records.write(json.dumps(record) + "\n")
            records.flush()
            signal.alarm(DEADLINE)

        for number in range(int(first), int(stop)):
            tell(number=number, step="grow")
            try:
                case, settings = draw(number)
            except ValueError as error:
                tell(number=number, step="grow", result=f"nothing grew: {error}")
                continue
            found: dict[str, bytes] = {}
            order = ways.split(",")
            for way in order if number % 2 else reversed(order):
                tell(number=number, step=way)
                result, found[way] = convert(case, settings, way)
                tell(number=number, step=way, result=result, size=len(found[way]), settings=settings)
            if len(set(found.values())) > 1:
                for way, data in found.items():
                    Path(file).with_name(f"{number}.{way}.onnx").write_bytes(data)
        tell(step="done")
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
