# amin(x0) float32[1]: ValueError: Required parameter 'dim' is not provided. Signature: pkg.onnxscript.torch_lib::aten_amin(self: TRealOrUInt8, dim: T_dim, keepdim: INT = 0) -> (TRea…
# crash · node conversion · torch.onnx-dynamo
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import torch

class Model(torch.nn.Module):
    def forward(self, x0):
        v0 = torch.amin(x0)
        return v0

model = Model().eval()
inputs = [torch.tensor([0.0], dtype=torch.float32)]
feeds = [x.detach().numpy() for x in inputs]
expected = [x.detach().numpy() for x in [model(*inputs)]]
for package in ('torch', 'onnxscript', 'onnx', 'numpy'):
    print(package, importlib.metadata.version(package))

try:
    import torch

    program = torch.onnx.export(
        model, tuple(inputs), dynamo=True, opset_version=21, optimize=True,
        input_names=[f'input_{index}' for index in range(len(inputs))], verbose=False,
    )
    artifact = program.model_proto.SerializeToString()
except Exception as error:
    while error.__cause__ is not None:
        error = error.__cause__
    print("expected no exception, got", f"{type(error).__name__}: {error}"[:2000])
    words = ['Required', 'parameter', 'provided', 'Signature', 'onnxscript', 'torch', 'aten', 'amin']
    sys.exit(1 if type(error).__name__ == 'ValueError' and all(word in str(error) for word in words) else 2)
print("no exception")
