# getitem(x0, (x1,)) float32[1]: invalid: onnx.checker: [ShapeInferenceError] (op_type:GatherND, node name: node_GatherND_15): indices typestr: tensor(int64), has unsupported type: tensor(int3…
# invalid model · validate · torch.onnx-dynamo
# Exit status: 1 when the defect shows, 0 when it does not, 2 when something else happens.
import importlib.metadata
import os
import sys

sys.excepthook = lambda *error: (sys.__excepthook__(*error), sys.stdout.flush(), os._exit(2))

import onnx
import torch

class Model(torch.nn.Module):
    def forward(self, x0, x1):
        v0 = x0[x1,]
        return v0

model = Model().eval()
inputs = [torch.tensor([0.0], dtype=torch.float32), torch.tensor([0], dtype=torch.int32)]
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
try:
    onnx.checker.check_model(artifact, full_check=True)
except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
    problems.append(str(error))
print("expected a valid model, got", problems or "one")
sys.exit(1 if problems else 0)
