"""Export small torch and TensorFlow models once, and keep what the exporters wrote as data for motifs.

``python -m generators.motifs.exporting`` rewrites :data:`generators.motifs.exported.PATH`; it needs torch, onnxscript,
TensorFlow and tf2onnx. What is kept are the nodes that torch.onnx (both exporters) and tf2onnx write for what people
have in their models: decomposed normalisations, activations and attention, layout transposes, chains of reshapes.
"""

from __future__ import annotations

import io
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from onnx import numpy_helper

from generators.frontends.onnx_schema import NEWEST
from generators.graph import dtype_name
from generators.motifs.exported import PATH, Exported, Operation, Tensor, encode

#: Attributes that are element types.
_TYPES = frozenset({"to", "dtype", "output_dtype"})
#: Nodes and elements of constants of what is kept.
_NODES, _ELEMENTS = 80, 4096

Array = Any


def torch_models() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Name, module and arguments."""
    import torch
    from torch import nn
    from torch.nn import functional as f

    class Function(nn.Module):  # type: ignore[misc]
        def __init__(self, function: Callable[..., Any]) -> None:
            super().__init__()
            self.function = function

        def forward(self, *args: Any) -> Any:
            return self.function(*args)

    torch.manual_seed(0)
    x, image, index = torch.randn(2, 3, 4), torch.randn(1, 4, 5, 5), torch.tensor([[0, 2], [1, 1]])
    modules: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
        "LayerNorm": (nn.LayerNorm(4), (x,)),
        "LayerNorm of two axes": (nn.LayerNorm((3, 4)), (x,)),
        "RMSNorm": (nn.RMSNorm(4), (x,)),
        "GroupNorm": (nn.GroupNorm(2, 4), (image,)),
        "InstanceNorm": (nn.InstanceNorm2d(4, affine=True), (image,)),
        "BatchNorm": (nn.BatchNorm2d(4), (image,)),
        "conv, BatchNorm, ReLU": (
            nn.Sequential(nn.Conv2d(4, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU()),
            (image,),
        ),
        "GELU": (nn.GELU(), (x,)),
        "GELU with tanh": (nn.GELU(approximate="tanh"), (x,)),
        "SiLU": (nn.SiLU(), (x,)),
        "Hardswish": (nn.Hardswish(), (x,)),
        "Mish": (nn.Mish(), (x,)),
        "GLU": (nn.GLU(), (x,)),
        "Softmax": (nn.Softmax(1), (x,)),
        "LogSoftmax": (nn.LogSoftmax(-1), (x,)),
        "Softmin": (nn.Softmin(1), (x,)),
        "MultiheadAttention": (nn.MultiheadAttention(4, 2, batch_first=True), (x, x, x)),
        "TransformerEncoderLayer": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval(), (x,)),
        "LSTM": (nn.LSTM(4, 3, batch_first=True), (x,)),
        "GRU": (nn.GRU(4, 3, bidirectional=True), (x,)),
        "Embedding": (nn.Embedding(3, 4), (index,)),
        "EmbeddingBag": (nn.EmbeddingBag(3, 4, mode="mean"), (index,)),
        "upsampling": (nn.Upsample(scale_factor=2, mode="bilinear"), (image,)),
        "upsampling, nearest": (nn.Upsample(scale_factor=2), (image,)),
        "PixelShuffle": (nn.PixelShuffle(2), (image,)),
        "AdaptiveAvgPool": (nn.AdaptiveAvgPool2d(1), (image,)),
        "AvgPool": (nn.AvgPool2d(2, padding=1, count_include_pad=False), (image,)),
        "ConvTranspose": (nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1), (image,)),
        "reflection": (nn.ReflectionPad2d(1), (image,)),
        "Unfold": (nn.Unfold(2), (image,)),
        "Linear": (nn.Linear(4, 2), (x,)),
        "Bilinear": (nn.Bilinear(4, 4, 2), (x, x)),
    }
    functions: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "attention": (lambda q: f.scaled_dot_product_attention(q, q, q), (x[None],)),
        "causal attention": (lambda q: f.scaled_dot_product_attention(q, q, q, is_causal=True), (x[None],)),
        "attention with a mask": (
            lambda q, m: f.scaled_dot_product_attention(q, q, q, attn_mask=m > 0), (x[None], x[0, :, :3])),
        "normalize": (lambda a: f.normalize(a, dim=1), (x,)),
        "variance": (lambda a: a.var(1, keepdim=True), (x,)),
        "standard deviation": (lambda a: torch.std_mean(a, -1), (x,)),
        "logsumexp": (lambda a: a.logsumexp(1), (x,)),
        "cross entropy": (lambda a: f.cross_entropy(a, torch.tensor([[0, 1, 2, 0], [1, 2, 0, 1]])), (x,)),
        "one_hot": (lambda i: f.one_hot(i, 3).float(), (index,)),
        "masked_fill": (lambda a: a.masked_fill(a > 0, -1e4).softmax(-1), (x,)),
        "triangle": (lambda a: a.tril() + a.triu(1), (x,)),
        "rotary": (lambda a: torch.cat((-a[..., 2:], a[..., :2]), -1) * a.sin() + a * a.cos(), (x,)),
        "heads": (lambda a: a.view(2, 3, 2, 2).transpose(1, 2).contiguous().view(4, 3, 2), (x,)),
        "strided slices": (lambda a: a[:, ::2, 1:3] + a[..., -2:][:, :2], (x,)),
        "advanced index": (lambda a, i: a[i[1], :, i[0]], (x, index)),
        "index_put": (lambda a: a.index_put((torch.tensor([0, 1]),), torch.zeros(3, 4)), (x,)),
        "scatter_add": (lambda a: torch.zeros(2, 3, 4).scatter_add(1, torch.tensor([[[0, 1, 2, 0]]]), a[:1, :1]), (x,)),
        "gather": (lambda a: a.gather(1, torch.tensor([[[0, 1, 2, 0], [2, 2, 1, 1]]])), (x,)),
        "roll and flip": (lambda a: a.roll(1, 1).flip(-1), (x,)),
        "repeat_interleave": (lambda a: a.repeat_interleave(2, 1), (x,)),
        "cumsum": (lambda a: a.cumsum(1).cumsum(-1), (x,)),
        "baddbmm": (lambda a: torch.baddbmm(a[:, :, :3], a, a.transpose(1, 2), beta=0.5, alpha=2), (x,)),
        "einsum": (lambda a: torch.einsum("bij,bkj->bik", a, a), (x,)),
        "floor division": (lambda a: torch.floor_divide(a, 0.7) + torch.remainder(a, 0.7), (x,)),
        "clamped": (lambda a: a.clamp(-1, 1).clamp_min(0.1).pow(2).mean((1, 2)), (x,)),
        "squeeze and excite": (
            lambda a: a * torch.sigmoid(f.relu(a.mean((2, 3), keepdim=True)) * 0.5), (image,)),
        "channel shuffle": (lambda a: a.view(1, 2, 2, 5, 5).transpose(1, 2).reshape(1, 4, 5, 5), (image,)),
        "grid_sample": (lambda a: f.grid_sample(a, torch.rand(1, 3, 3, 2), align_corners=False), (image,)),
        "half precision norm": (
            lambda a: (a.float() * torch.rsqrt(a.float().pow(2).mean(-1, keepdim=True) + 1e-6)).half(), (x.half(),)),
        "fake quantization": (lambda a: torch.fake_quantize_per_tensor_affine(a, 0.1, 3, 0, 255).relu(), (x,)),
    }  # fmt: skip
    for name, (module, arguments) in modules.items():
        yield name, module.eval(), arguments
    for name, (function, arguments) in functions.items():
        yield name, Function(function).eval(), arguments


def tensorflow_models() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Name, function and arguments."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((2, 3, 4)).astype(np.float32))
    image = tf.constant(rng.standard_normal((1, 5, 5, 4)).astype(np.float32))
    # Tensors that a function captures would be inputs.
    kernel = rng.standard_normal((3, 3, 4, 2)).astype(np.float32)
    row = rng.uniform(0.5, 1.5, 4).astype(np.float32)
    layers: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
        "LayerNormalization": (keras.layers.LayerNormalization(), (x,)),
        "GroupNormalization": (keras.layers.GroupNormalization(2), (image,)),
        "BatchNormalization": (keras.layers.BatchNormalization(), (image,)),
        "MultiHeadAttention": (keras.layers.MultiHeadAttention(2, 2), (x, x)),
        "LSTM": (keras.layers.LSTM(3, unroll=True), (x,)),
        "GRU": (keras.layers.GRU(2, unroll=True), (x,)),
        "SeparableConv2D": (keras.layers.SeparableConv2D(3, 3), (image,)),
        "Conv2D, channels last": (keras.layers.Conv2D(3, 3, padding="same", strides=2), (image,)),
        "Conv2DTranspose": (keras.layers.Conv2DTranspose(2, 3, strides=2), (image,)),
        "Dense of rank 3": (keras.layers.Dense(2, activation="gelu"), (x,)),
        "UpSampling2D": (keras.layers.UpSampling2D(2, interpolation="bilinear"), (image,)),
    }
    functions: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "gelu": (tf.nn.gelu, (x,)),
        "gelu with tanh": (lambda a: tf.nn.gelu(a, approximate=True), (x,)),
        "silu": (tf.nn.silu, (x,)),
        "softmax": (lambda a: tf.nn.softmax(a, axis=1), (x,)),
        "log_softmax": (tf.nn.log_softmax, (x,)),
        "l2_normalize": (lambda a: tf.nn.l2_normalize(a, -1), (x,)),
        "moments": (lambda a: tf.nn.moments(a, [1, 2], keepdims=True)[1], (image,)),
        "batch_normalization": (lambda a: tf.nn.batch_normalization(a, row, row, row, row, 1e-3), (image,)),
        "fused batch norm": (
            lambda a: tf.compat.v1.nn.fused_batch_norm(a, row, row, row, row, is_training=False)[0], (image,)),
        "conv, bias, relu6": (
            lambda a: tf.nn.relu6(tf.nn.bias_add(tf.nn.conv2d(a, kernel, 1, "SAME"), [0.1, -0.2])), (image,)),
        "depthwise": (
            lambda a: tf.nn.depthwise_conv2d(a, kernel[:, :, :, :1], (1, 1, 1, 1), "SAME"), (image,)),
        "resize": (lambda a: tf.image.resize(a, (10, 10)), (image,)),
        "resize, nearest": (lambda a: tf.image.resize(a, (10, 10), method="nearest"), (image,)),
        "space_to_depth": (lambda a: tf.nn.space_to_depth(a[:, :4, :4], 2), (image,)),
        "strided slice": (lambda a: a[:, ::2, tf.newaxis, -1] + a[:, 1:, ..., :1][..., 0][:, :, tf.newaxis], (x,)),
        "one_hot": (lambda a: tf.one_hot(tf.argmax(a, -1), 4, axis=1), (x,)),
        "gather_nd": (lambda a: tf.gather_nd(a, [[0, 1], [1, 2]]), (x,)),
        "batched gather": (lambda a: tf.gather(a, [[0, 1], [2, 2]], axis=1, batch_dims=1), (x,)),
        "cumsum": (lambda a: tf.cumsum(a, 1, exclusive=True, reverse=True), (x,)),
        "where": (lambda a: tf.where(a > 0, a, tf.exp(a) - 1), (x,)),
        "avg_pool, same": (lambda a: tf.nn.avg_pool2d(a, 3, 2, "SAME"), (image,)),
        "fake quantization": (
            lambda a: tf.nn.relu(tf.quantization.fake_quant_with_min_max_args(a, -1.5, 2.0)), (x,)),
        "attention": (
            lambda a: tf.matmul(tf.nn.softmax(tf.matmul(a, a, transpose_b=True) / 2.0), a), (x,)),
        "squared_difference": (lambda a: tf.reduce_mean(tf.math.squared_difference(a, 0.5), [0, 2]), (x,)),
        "reduce_std": (lambda a: tf.math.reduce_std(a, 1) + tf.reduce_logsumexp(a, 1), (x,)),
        "top_k": (lambda a: tf.math.top_k(a, 2)[0], (x,)),
        "embedding": (lambda a: tf.nn.embedding_lookup(a[0], tf.constant([0, 2, 1, 1])), (x,)),
        "roll": (lambda a: tf.roll(a, 1, 1) + tf.reverse(a, [2]), (x,)),
        "floormod": (lambda a: tf.math.floormod(a, 0.7), (x,)),
        "cross entropy": (lambda a: tf.nn.sparse_softmax_cross_entropy_with_logits([[0, 1, 2]] * 2, a), (x,)),
    }  # fmt: skip
    for name, (built, arguments) in layers.items():
        built(*arguments)
        for weight in built.weights:
            # Zeros and ones, as layers begin with, would be folded away.
            weight.assign(rng.uniform(0.3, 1.5, weight.shape).astype(np.float32))
        yield name, built, arguments
    for name, (function, arguments) in functions.items():
        yield name, function, arguments


def exports() -> Iterator[tuple[str, str, onnx.ModelProto, Sequence[Array]]]:
    """By what was exported, the name of what, the model, and arrays that it can be run on."""
    import torch

    for name, module, arguments in torch_models():
        arrays = [argument.numpy() for argument in arguments]
        for label, options in (
            ("dynamo", {"dynamo": True, "opset_version": 18, "verbose": False}),
            ("dynamo, not optimized", {"dynamo": True, "opset_version": 18, "optimize": False, "verbose": False}),
            ("TorchScript", {"dynamo": False, "opset_version": 16, "do_constant_folding": False}),
            ("TorchScript", {"dynamo": False, "opset_version": 18}),
        ):
            try:
                if options["dynamo"]:
                    program = torch.onnx.export(module, arguments, **options)
                    assert program is not None
                    yield f"torch.onnx {label}", name, program.model_proto, arrays
                else:
                    stream = io.BytesIO()
                    torch.onnx.export(module, arguments, stream, **options)
                    yield f"torch.onnx {label}", name, onnx.load_from_string(stream.getvalue()), arrays
            except Exception as error:  # noqa: BLE001  (what an exporter does not take is not our subject here)
                print(f"torch.onnx {label}: {name}: {type(error).__name__} {str(error)[:80]!r}", file=sys.stderr)
    import tensorflow as tf
    import tf2onnx

    for name, function, arguments in tensorflow_models():
        signature = [tf.TensorSpec(argument.shape, argument.dtype) for argument in arguments]
        try:
            wrapped = tf.function(lambda *args, function=function: function(*args), input_signature=signature)
            proto, _ = tf2onnx.convert.from_function(wrapped, input_signature=signature, opset=18)
            yield "tf2onnx", name, proto, [argument.numpy() for argument in arguments]
        except Exception as error:  # noqa: BLE001
            print(f"tf2onnx: {name}: {type(error).__name__} {str(error)[:80]!r}", file=sys.stderr)


def kept(exporter: str, name: str, proto: onnx.ModelProto, arrays: Sequence[Array]) -> Exported:
    """The model as data. ValueError when it has bodies, other domains, too many nodes, or does not run as our graph."""
    proto = onnx.inliner.inline_local_functions(proto)
    if max(item.version for item in proto.opset_import if not item.domain) < 18:
        proto = onnx.version_converter.convert_version(proto, 18)
    graph = proto.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    operations = []
    for node in graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.domain not in ("", "ai.onnx"):
            raise ValueError(f"has {node.domain}.{node.op_type}")
        if node.op_type == "Constant":
            [value] = attributes.values()
            constants[node.output[0]] = numpy_helper.to_array(value) if hasattr(value, "raw_data") else np.array(value)
            continue
        if any(hasattr(value, "node") or hasattr(value, "raw_data") for value in attributes.values()):
            if node.op_type != "ConstantOfShape":
                raise ValueError(f"{node.op_type} has a body or a tensor")
            filled = numpy_helper.to_array(attributes["value"])
            constants[node.output[0]] = np.full(constants[node.input[0]], filled.reshape(())[()])
            continue
        operations.append(_operation(node, attributes))
    used = {item for operation in operations for item in operation.inputs}
    tensors = [_tensor(key, value) for key, value in constants.items() if key in used]
    if len(operations) > _NODES or not operations or sum(value.size for value in constants.values()) > _ELEMENTS:
        raise ValueError(f"has {len(operations)} nodes")
    inputs = [item.name for item in graph.input if item.name not in {each.name for each in graph.initializer}]
    given = [_tensor(key, value) for key, value in zip(inputs, arrays, strict=True)]
    return Exported(exporter, name, given, tensors, operations)


def _operation(node: onnx.NodeProto, attributes: Mapping[str, Any]) -> Operation:
    plain: dict[str, Any] = {}
    for key, value in attributes.items():
        if key in _TYPES:
            plain[key] = dtype_name(onnx.helper.tensor_dtype_to_np_dtype(value))
        elif isinstance(value, bytes):
            plain[key] = value.decode()
        else:
            plain[key] = list(value) if not isinstance(value, (int, float)) else value
    outputs = list(node.output)
    while outputs and not outputs[-1]:
        outputs.pop()
    return Operation(node.op_type, list(node.input), plain, outputs)


def _tensor(name: str, array: Array) -> Tensor:
    array = np.asarray(array)
    elements: list[Any] = array.reshape(-1).tolist()
    if array.dtype.kind == "f":
        # Weights are of any value; numbers such as the root of two are kept as they are.
        elements = [float(f"{item:.4g}") if array.size > 1 else float(str(array.dtype.type(item))) for item in elements]
        elements = [str(item) if math.isinf(item) else item for item in elements]
    return Tensor(name, dtype_name(array.dtype), list(array.shape), elements)


def main() -> None:
    """Write the file."""
    from generators.frontends.base import EvaluationError, frontend

    runner = frontend("onnx")
    found: dict[str, Exported] = {}
    for exporter, name, proto, arrays in exports():
        try:
            item = kept(exporter, name, proto, arrays)
            case = item.case()
            runner.run(case.graph, case.feeds)
        except (EvaluationError, ValueError, KeyError, TypeError, RuntimeError) as error:
            print(f"{exporter}: {name}: {type(error).__name__} {str(error)[:100]!r}", file=sys.stderr)
            continue
        # The same nodes from two exporters, or from two settings of one, are one motif.
        form = repr([(operation.operator, operation.attributes) for operation in item.nodes])
        found.setdefault(form, item)
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(encode(list(found.values())))
    count = sum(len(item.nodes) for item in found.values())
    print(f"{len(found)} exports of {count} nodes, opset {NEWEST}, {os.path.getsize(PATH):,} bytes")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
