# trace(x0) float16[1,1]: invalid: output 0: declared float32[], the graph has float16[]
# invalid model · validate · torch.onnx-dynamo
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import onnx
import torch

class Model(torch.nn.Module):
    def forward(self, x0):
        v0 = torch.trace(x0)
        return v0

model = Model().eval()
inputs = [torch.tensor([[0.0]], dtype=torch.float16)]
feeds = [x.detach().numpy() for x in inputs]
expected = [x.detach().numpy() for x in [model(*inputs)]]
for package in ('torch', 'onnxscript', 'onnx', 'numpy'):
    print(package, importlib.metadata.version(package))

program = torch.onnx.export(
    model, tuple(inputs), dynamo=True, opset_version=20, optimize=True,
    input_names=[f'input_{index}' for index in range(len(inputs))], verbose=False,
)
artifact = program.model_proto.SerializeToString()
problems = []
graph = onnx.load_from_string(artifact).graph
outputs = graph.output
if len(outputs) != len(expected):
    problems.append(f"{len(outputs)} outputs, expected {len(expected)}")
given = [(feeds[int(x.name.removeprefix("input_"))], x) for x in graph.input if x.name.startswith("input_")]
for want, value in [*given, *zip(expected, outputs)]:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    known = kind.HasField("shape")
    if dtype != want.dtype or known and (len(shape) != want.ndim or any(a not in (None, b) for a, b in zip(shape, want.shape))):
        problems.append(f"{value.name} is declared {dtype}{shape}, expected {want.dtype}{list(want.shape)}")
print("expected a valid model, got", problems or "one")
sys.exit(1 if problems else 0)
