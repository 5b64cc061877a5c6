"""One entry of torch's ModuleInfo at a time: modules in evaluation mode, with their parameters as constants."""

from __future__ import annotations

import inspect
import itertools
import warnings
import zlib
from collections import Counter
from typing import Any

import numpy as np
import torch

from generators.frontends.base import Frontend
from generators.frontends.torch_modules import STATE, state_names
from generators.graph import Array, Case, Constant, Graph, Node, type_of
from generators.harvest import exclusions, trials
from generators.harvest.collecting import KEPT, Candidate, check_domain, diverse, form_of
from generators.harvest.conversion import Unusable, path_of, to_case
from generators.harvest.records import Entry, Sample
from generators.serial import dumps

_SAMPLES = 60
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def module_entries() -> list[Any]:
    """Torch's list of modules. ImportError when a package that torch's test suite needs is not installed."""
    from torch.testing._internal.common_modules import module_db

    return list(module_db)


def collect_module(frontend: Frontend, info: Any) -> Entry:
    """The entry of one ModuleInfo."""
    name = str(info.formatted_name)
    target = f"torch.{info.name}"
    refused: Counter[str] = Counter()
    reason = exclusions.module_exclusion(info.module_cls.__name__)
    if reason:
        return Entry(name, "module", target, reason=reason)
    candidates: dict[str, list[Candidate]] = {}
    seen = 0
    for dtype in _DTYPES:
        if dtype not in info.dtypes:
            continue
        found = candidates.setdefault(str(dtype), [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(zlib.crc32(f"{name} {dtype}".encode()))
            given = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=False)
            for sample in itertools.islice(given, _SAMPLES):
                seen += 1
                try:
                    found.append(_candidate(frontend, info.module_cls, target, sample, dtype))
                except Unusable as error:
                    refused[str(error)] += 1
    samples: list[Sample] = []
    for candidate in diverse(candidates):
        try:
            samples.append(_sample(frontend, candidate))
        except Unusable as error:
            refused[str(error)] += 1
        if len(samples) == KEPT:
            break
    if not samples:
        reason = refused.most_common(1)[0][0] if refused else "has no samples on CPU"
    return Entry(name, "module", target, tuple(samples), reason, seen, dict(sorted(refused.items())))


def _candidate(
    frontend: Frontend, kind: type[torch.nn.Module], target: str, sample: Any, dtype: torch.dtype
) -> Candidate:
    constructor, forward = sample.constructor_input, sample.forward_input
    if forward is None:
        raise Unusable("has no arguments to be called with")
    arguments = _bound(kind.__init__, (None, *constructor.args), constructor.kwargs, defaults=False)
    if any(isinstance(value, torch.Tensor) for value in arguments.values()):
        raise Unusable("has a tensor among its constructor's arguments")
    if arguments.get("return_indices"):
        raise Unusable("which of several equal elements is meant is not documented")
    arguments = {key: _named(value) for key, value in arguments.items() if key not in ("device", "dtype", "self")}
    inputs = list(_bound(kind.forward, (None, *forward.args), forward.kwargs, defaults=True).values())[1:]
    module = kind(*constructor.args, **constructor.kwargs).to(dtype).eval()
    state = {key: _varied(key, value.detach()) for key, value in module.state_dict().items()}
    node, arrays = to_case(frontend, target, tuple(inputs), {**arguments, STATE: tuple(state.items())})
    if not state:
        node = Node(node.target, node.args, tuple(pair for pair in node.kwargs if pair[0] != STATE), ())
    run = trials.reliable(frontend, node, arrays)
    if not trials.finite(run.outputs):
        raise Unusable("is not finite")
    check_domain(node, arrays)
    return Candidate(node, arrays, run, str(dtype).removeprefix("torch."), form_of(node, arrays))


def _bound(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, defaults: bool) -> dict[str, Any]:
    """Arguments by name; ``defaults`` fills in those up to the last one that is given."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise Unusable("its arguments do not fit its signature") from error
    if any(signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL for name in bound.arguments):
        raise Unusable("hands positional arguments on to another constructor")
    if not defaults:
        found: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            handed_on = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            found.update(value if handed_on else {name: value})
        return found
    order = list(signature.parameters)
    last = max(order.index(name) for name in bound.arguments)
    bound.apply_defaults()
    return {name: bound.arguments[name] for name in order[: last + 1]}


def _named(value: Any) -> Any:
    """A function by its public name, any other value as it is."""
    return path_of(value) if callable(value) and not isinstance(value, torch.nn.Module) else value


def _varied(key: str, value: torch.Tensor) -> torch.Tensor:
    """The parameter or buffer; one whose elements are all equal, as those of normalisations are at first, gets others,
    so that a converter that mixes them up is seen to."""
    if not value.is_floating_point() or value.numel() < 2 or not bool((value == value.flatten()[0]).all()):
        return value.clone()
    random = np.random.default_rng(zlib.crc32(key.encode()))
    wide = random.uniform(0.5, 2.0, tuple(value.shape)) * (1 if "var" in key else random.choice([-1, 1]))
    return torch.from_numpy(wide).to(value.dtype)


def _sample(frontend: Frontend, candidate: Candidate) -> Sample:
    node, arrays, run = candidate.node, candidate.arrays, candidate.run
    case = trials.as_case(node, arrays, run.outputs, run.unpack)
    state = set(state_names(node))
    case = _with_state(case, state)
    trials.printed_alike(frontend, case, run)
    attempt = trials.Trials(frontend, node, arrays, run, zlib.crc32(dumps(case)))
    slots = () if exclusions.structured(node.target, "") else attempt.slots([
        name for name, array in arrays.items() if name not in state and type_of(array).dtype == candidate.dtype
    ])  # fmt: skip
    return Sample(dumps(trials.fixed_as_constants(case, slots)), slots)


def _with_state(case: Case, names: set[str]) -> Case:
    """The case with these inputs as constants."""
    held: list[tuple[str, Array]] = [(name, case.feeds[name]) for name in case.feeds if name in names]
    graph = case.graph
    inputs = tuple(item for item in graph.inputs if item.name not in names)
    constants = tuple(Constant(name, array) for name, array in held)
    return Case(
        Graph(graph.frontend, inputs, constants, graph.nodes, graph.outputs),
        {item.name: case.feeds[item.name] for item in inputs},
    )
