# conv2d(x0, c0, padding=1) float32[1,1,1]: expected nan, got 0.0
# wrong model · inference · torch.onnx-torchscript · optimized
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import torch

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer('c0', torch.tensor([[[[float('-inf')]]]], dtype=torch.float32))

    def forward(self, x0):
        v0 = torch.nn.functional.conv2d(x0, self.c0, padding=1)
        return v0

model = Model().eval()
inputs = [torch.tensor([[[0.0]]], dtype=torch.float32)]
feeds = [x.detach().numpy() for x in inputs]
expected = [x.detach().numpy() for x in [model(*inputs)]]
for package in ('torch', 'onnx', 'onnxruntime', 'numpy'):
    print(package, importlib.metadata.version(package))

import io

file = io.BytesIO()
torch.onnx.export(
    model, tuple(inputs), file, dynamo=False, opset_version=20,
    input_names=[f'input_{index}' for index in range(len(inputs))],
)
artifact = file.getvalue()

import onnxruntime

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(artifact, options, providers=['CPUExecutionProvider'])
named = {value.name: feeds[int(value.name.removeprefix('input_'))] for value in session.get_inputs()}
actual = session.run(None, named)

types = [[f"{x.dtype}{list(x.shape)}" for x in side] for side in (expected, actual)]
print("expected", *types[0], *expected, "actual", *types[1], *actual, sep="\n")
if types[0] != types[1]:
    sys.exit(2)
wrong = other = False
for want, got in zip(expected, actual):
    want, got = (x.astype(float) for x in (want, got))
    finite = np.isfinite(want) & np.isfinite(got)
    atol = 1e-05 * min(1, abs(want[np.isfinite(want)]).max(initial=0))
    close = np.isclose(got, want, 1.3e-06, atol, equal_nan=True) | np.isclose(got, want, 0, 1.1754943508222875e-38)
    wrong |= (~close & ~finite).any()
    other |= (~close & finite).any()
sys.exit(1 if wrong else 2 if other else 0)
