# lp_pool1d(x0, 1.0, 1) float32[1,1]: invalid: onnx.checker: [ShapeInferenceError] Inference error(s): (op_type:AveragePool, node name: /AveragePool_63): [ShapeInferenceError] Input tensor must hav…
# invalid model · validate · torch.onnx-torchscript
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import onnx
import torch

class Model(torch.nn.Module):
    def forward(self, x0):
        v0 = torch.nn.functional.lp_pool1d(x0, 1.0, 1)
        return v0

model = Model().eval()
inputs = [torch.tensor([[0.0]], dtype=torch.float32)]
feeds = [x.detach().numpy() for x in inputs]
expected = [x.detach().numpy() for x in [model(*inputs)]]
for package in ('torch', 'onnx', 'numpy'):
    print(package, importlib.metadata.version(package))

import io

file = io.BytesIO()
torch.onnx.export(
    model, tuple(inputs), file, dynamo=False, opset_version=15, do_constant_folding=False,
    input_names=[f'input_{index}' for index in range(len(inputs))],
)
artifact = file.getvalue()
problems = []
try:
    onnx.checker.check_model(artifact, full_check=True)
except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
    problems.append(str(error))
print("expected a valid model, got", problems or "one")
sys.exit(1 if problems else 0)
