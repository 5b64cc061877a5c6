"""Faults in the ONNX functions by which torch's exporter translates operators (torchlib)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.faults.injection import Proof, SourceFault, X, Y, Z, normal
from generators.graph import Array, DType

_CORE = "onnxscript.function_libs.torch_lib.ops.core:"
_NN = "onnxscript.function_libs.torch_lib.ops.nn:"
_OWN = "torch.onnx._internal.exporter._torchlib.ops.nn:"
_F = "torch.nn.functional."


def _proof(*call: Any, feeds: tuple[Array, ...] | None = None) -> Proof:
    return Proof("torch", feeds or (normal(4, 6),), (call,))


_IMAGE = normal(1, 2, 6, 7)

FAULTS = (
    # Attributes and epsilons.
    SourceFault("gelu by tanh", _OWN + "aten_gelu_opset20", "approximate=approximate", 'approximate="tanh"',
                _proof(_F + "gelu", X, feeds=(normal(4, 6, scale=2),))),
    SourceFault("gelu of tanh by erf", _OWN + "aten_gelu_opset20", "approximate=approximate", 'approximate="none"',
                _proof(_F + "gelu", X, {"approximate": "tanh"}, feeds=(normal(4, 6, scale=2),))),
    SourceFault("leaky_relu slope 0.2 to 0.3", _NN + "aten_leaky_relu", "alpha=negative_slope",
                "alpha=negative_slope + 0.1", _proof(_F + "leaky_relu", X, 0.2)),
    SourceFault("elu alpha", _NN + "aten_elu", "alpha=alpha)", "alpha=alpha * 1.01)", _proof(_F + "elu", X, 1.0)),
    SourceFault("celu alpha by default", _NN + "aten_celu", "return op.Celu(self, alpha=alpha)",
                "return op.Celu(self)", _proof(_F + "celu", X, 1.5)),
    SourceFault("hardsigmoid slope of ONNX", _NN + "aten_hardsigmoid", "alpha=1 / 6", "alpha=0.2",
                _proof(_F + "hardsigmoid", X)),
    SourceFault("layer_norm epsilon 1e-3", _CORE + "aten_layer_norm", "epsilon=eps", "epsilon=1e-3",
                _proof(_F + "layer_norm", X, (6,))),
    SourceFault("group_norm epsilon 1e-3", _NN + "aten_group_norm", "epsilon=eps", "epsilon=1e-3",
                _proof(_F + "group_norm", X, 2, feeds=(_IMAGE,))),
    SourceFault("instance_norm epsilon 1e-3", _CORE + "aten_instance_norm",
                "op.InstanceNormalization(input, weight, bias, epsilon=eps)",
                "op.InstanceNormalization(input, weight, bias, epsilon=1e-3)",
                _proof(_F + "instance_norm", X, feeds=(_IMAGE,))),
    SourceFault("batch_norm epsilon 1e-3", _CORE + "_aten_native_batch_norm_inference_onnx", "epsilon=eps",
                "epsilon=1e-3",
                _proof(_F + "batch_norm", X, Y, Z, feeds=(_IMAGE, normal(2), np.array([0.5, 1.5], np.float32)))),
    # Clamps.
    SourceFault("clamp without its upper bound", _CORE + "aten_clamp", "op.Clip(self, min, max)",
                "op.Clip(self, min) if min is not None else op.Identity(self)",
                _proof("torch.clamp", X, -0.5, 0.5)),
    SourceFault("logit without clamping to eps", _CORE + "aten_logit", "if eps is None:", "if True:",
                _proof("torch.logit", X, 0.1, feeds=(np.linspace(0.01, 0.99, 24, dtype=np.float32).reshape(4, 6),))),
    # Padding and pooling.
    SourceFault("conv2d padded one to the left", _CORE + "aten_conv2d", "pads = [*padding, *padding]",
                "pads = [padding[0], padding[1] + (padding[1] > 0), padding[0], padding[1] - (padding[1] > 0)]",
                _proof(_F + "conv2d", X, Y, None, 1, 1, feeds=(_IMAGE, normal(3, 2, 3, 3, seed=1)))),
    SourceFault("conv2d strides swapped", _CORE + "aten_conv2d", "strides = list(stride)",
                "strides = list(stride)[::-1]",
                _proof(_F + "conv2d", X, Y, None, (1, 2), feeds=(_IMAGE, normal(3, 2, 3, 3, seed=1)))),
    SourceFault("transposed convolution without output padding", _CORE + "_aten_convolution_onnx",
                "output_padding=output_padding", "output_padding=[0] * (len(weight.shape) - 2)",
                _proof(_F + "conv_transpose2d", X, Y, None, 2, 0, 1,
                       feeds=(_IMAGE, normal(2, 3, 3, 3, seed=1)))),
    SourceFault("avg_pool counts padding", _NN + "_aten_avg_pool_onnx", "count_include_pad=count_include_pad",
                "count_include_pad=True", _proof(_F + "avg_pool2d", X, 3, 2, 1, False, False, feeds=(_IMAGE,))),
    SourceFault("avg_pool padded with one element more", _NN + "_adjust_attributes_of_avg_pool",
                "return (kernel_shape, strides, pads)",
                "return (kernel_shape, strides, [pads[0] + (kernel_shape[0] > pads[0] + 1), *pads[1:]])",
                _proof(_F + "avg_pool2d", X, 3, 2, 1, feeds=(_IMAGE,))),
    SourceFault("max_pool without dilation", _NN + "_aten_max_pool_onnx", "dilations=dilations",
                "dilations=[1] * len(dilations)", _proof(_F + "max_pool2d", X, 2, 2, 0, 2, feeds=(_IMAGE,))),
    SourceFault("pads of begin and end swapped", _NN + "_process_padding",
                "paddings = paddings[-2::-2] + paddings[-1::-2]\n        return op.Constant",
                "paddings = paddings[-1::-2] + paddings[-2::-2]\n        return op.Constant",
                _proof(_F + "pad", X, (1, 0, 0, 2))),
    # Axes, order, off by one.
    SourceFault("softmax over the last axis", _CORE + "aten_softmax", "axis=dim", "axis=-1",
                _proof("torch.softmax", X, 0)),
    SourceFault("cumsum exclusive", _CORE + "aten_cumsum", "op.CumSum(cast, dim)", "op.CumSum(cast, dim, exclusive=1)",
                _proof("torch.cumsum", X, 1)),
    SourceFault("roll by one more", _CORE + "_aten_roll_shift_and_dim_onnx", "[-shift]", "[-shift - 1]",
                _proof("torch.roll", X, 2, 1)),
    SourceFault("tril one diagonal further", _CORE + "aten_tril", "diagonal, upper=0", "diagonal + 1, upper=0",
                _proof("torch.tril", X)),
    SourceFault("topk always the largest", _CORE + "aten_topk", "largest=largest", "largest=True",
                _proof("torch.topk", X, 2, -1, False)),
    SourceFault("sort always ascending", _CORE + "aten_sort", "largest=descending", "largest=False",
                _proof("torch.sort", X, -1, True)),
    SourceFault("pixel_shuffle depth first", _CORE + "aten_pixel_shuffle",
                'return op.DepthToSpace(self, blocksize=upscale_factor, mode="CRD")',
                'return op.DepthToSpace(self, blocksize=upscale_factor, mode="DCR")',
                _proof("torch.pixel_shuffle", X, 2, feeds=(normal(1, 8, 2, 3),))),
    SourceFault("scatter_add overwrites", _CORE + "aten_scatter_add", 'reduction="add"', 'reduction="none"',
                _proof("torch.scatter_add", X, 1, Y, Z,
                       feeds=(normal(4, 6), np.zeros((4, 2), np.int64), normal(4, 2, seed=1)))),
    SourceFault("unfold with step one", _CORE + "aten_unfold", "op.Sub(dim_size, size - 1), step)",
                "op.Sub(dim_size, size - 1), 1)", _proof("torch.Tensor.unfold", X, 1, 2, 2)),
    # Operands, formulas, dtypes.
    SourceFault("addmm beta and alpha swapped", _CORE + "aten_addmm", "alpha=alpha, beta=beta",
                "alpha=beta, beta=alpha",
                _proof("torch.addmm", X, Y, Z, {"beta": 0.5, "alpha": 2.0},
                       feeds=(normal(4, 3), normal(4, 6, seed=1), normal(6, 3, seed=2)))),
    SourceFault("sub ignores alpha", _CORE + "aten_sub", "other = op.Mul(other, alpha)", "pass",
                _proof("torch.sub", X, Y, {"alpha": 3}, feeds=(normal(4, 6), normal(4, 6, seed=1)))),
    SourceFault("floor_divide truncates integers", _CORE + "aten_floor_divide",
                "return op.Sub(op.Div(self, other), offset)", "return op.Div(self, other)",
                _proof("torch.floor_divide", X, Y,
                       feeds=(np.array([7, -7, 5, -5]), np.array([2, 2, -3, 3])))),
    SourceFault("remainder of floats truncates", _CORE + "_aten_remainder",
                "rounded_quotient = op.Floor(op.Div(self, other))",
                "rounded_quotient = op.Cast(op.Cast(op.Div(self, other), to=7), to=self.dtype)",
                _proof("torch.remainder", X, 0.7)),
    SourceFault("fmod floors", _CORE + "aten_fmod", "fmod=1", "fmod=0",
                _proof("torch.fmod", X, Y, feeds=(np.array([7, -7, 5, -5]), np.array([4, 4, -3, 3])))),
    SourceFault("casts to int64 give int32", _CORE + "aten__to_copy", "dtype=dtype)",
                "dtype=6 if dtype == 7 else dtype)",
                _proof("torch.Tensor.to", X, DType("int64"))),
    SourceFault("mse_loss of the sum", _NN + "aten_mse_loss", "op.ReduceMean(result, keepdims=False)",
                "op.ReduceSum(result, keepdims=False)",
                _proof(_F + "mse_loss", X, Y, feeds=(normal(4, 6), normal(4, 6, seed=1)))),
    SourceFault("bilinear resize with aligned corners", _NN + "_get_upsample_align_corners_mode",
                '"align_corners" if align_corners else "half_pixel"', '"align_corners"',
                _proof(_F + "interpolate", X, (9, 9), {"mode": "bilinear"}, feeds=(_IMAGE,))),
    SourceFault("attention without its scale", _NN + "aten_scaled_dot_product_attention",
                "scale = op.CastLike(scale, query)", "scale = op.CastLike(op.Constant(value_float=1.0), query)",
                _proof(_F + "scaled_dot_product_attention", X, Y, Z,
                       feeds=tuple(normal(1, 2, 4, 6, seed=seed) for seed in range(3)))),
    SourceFault("gather along the first axis", _CORE + "aten_gather", "axis=dim", "axis=0",
                _proof("torch.gather", X, 1, Y, feeds=(normal(4, 6), np.zeros((4, 2), np.int64)))),
    SourceFault("heaviside of zero is one", _CORE + "aten_heaviside", "op.Equal(self, zero), values",
                "op.Equal(self, zero), one",
                _proof("torch.heaviside", X, Y, feeds=(np.array([-1, 0, 2], np.float32), normal(3)))),
)  # fmt: skip
