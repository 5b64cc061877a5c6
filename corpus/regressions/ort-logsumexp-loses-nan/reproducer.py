# logsumexp(x0, 0) float32[2]: expected nan, got inf
# wrong model · inference · torch.onnx-torchscript · onnxruntime unoptimized, onnxruntime optimized
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import numpy as np
import torch

class Model(torch.nn.Module):
    def forward(self, x0):
        v0 = torch.logsumexp(x0, 0)
        return v0

model = Model().eval()
inputs = [torch.tensor([float('inf'), float('nan')], dtype=torch.float32)]
feeds = [x.detach().numpy() for x in inputs]
expected = [x.detach().numpy() for x in [model(*inputs)]]
for package in ('torch', 'onnx', 'onnxruntime', 'numpy'):
    print(package, importlib.metadata.version(package))

import io

file = io.BytesIO()
torch.onnx.export(
    model, tuple(inputs), file, dynamo=False, opset_version=17,
    input_names=[f'input_{index}' for index in range(len(inputs))],
)
artifact = file.getvalue()

import onnxruntime

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
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
