"""How a printed ONNX model is run eagerly, as source text. Imports nothing."""

#: How printed models are run eagerly: part of every stand-alone script. Elements that NumPy's bridge of ONNX Runtime
#: does not know go over as bits.
EAGER = '''\
def to_ort(x):
    bits = {"bfloat16": np.uint16, "float8_e4m3fn": np.uint8, "float8_e5m2": np.uint8}.get(x.dtype.name)
    if bits is None:
        return onnxruntime.OrtValue.ortvalue_from_numpy(x)
    number = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(x.view(bits), number)


def from_ort(x):
    if x.element_type() not in (16, 17, 19):  # bfloat16, float8e4m3fn, float8e5m2
        return x.numpy().copy()
    dtype = onnx.helper.tensor_dtype_to_np_dtype(x.element_type())
    size = int(np.prod(x.shape())) * dtype.itemsize
    return np.frombuffer(ctypes.string_at(x.data_ptr(), size) if size else b"", dtype).reshape(x.shape())


def run_nodes(model, inputs, opset, others):
    """Outputs of a model, its nodes run one at a time, each as a model of its own, of that opset, not optimized.
    ``others`` are positions of nodes without a kernel in it, and the opsets in which they have one (0: there is none);
    nodes of bodies go by the names of their first outputs.
    """
    values = dict(zip([x.name for x in model.graph.input], inputs))
    return run_graph(model.graph, values, opset, others, str)


def run_graph(graph, values, opset, others, key=None):
    from onnx.reference import ReferenceEvaluator

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    values.update((x.name, onnx.numpy_helper.to_array(x)) for x in graph.initializer)
    for position, node in enumerate(graph.node):
        position = position if key else node.output[0]
        if node.op_type in ("If", "Loop", "Scan"):
            values.update(zip(node.output, run_control(node, values, opset, others)))
            continue
        given = {name: values[name] for name in node.input if name}
        kinds = [onnx.helper.np_dtype_to_tensor_dtype(x.dtype) for x in given.values()]
        types = [onnx.helper.make_tensor_value_info(name, kind, given[name].shape) for name, kind in zip(given, kinds)]
        single = onnx.helper.make_graph([node], "node", types, [onnx.ValueInfoProto(name=name) for name in node.output])
        imports = [onnx.helper.make_opsetid("", others.get(position, opset) or opset)]
        version = onnx.helper.find_min_ir_version_for(imports)
        single = onnx.helper.make_model(single, opset_imports=imports, ir_version=version)
        contradiction = others.get(position) == 0
        if not contradiction:
            session = onnxruntime.InferenceSession(single.SerializeToString(), options, ["CPUExecutionProvider"])
            results = session.run_with_ort_values(list(node.output), {name: to_ort(x) for name, x in given.items()})
            results = [from_ort(x) for x in results]
            shapes = [x.shape for x in session.get_outputs()]
            # Is a result of another shape than inference gives? Unknown extents are names or None.
            contradiction = any(
                len(shape) != result.ndim or any(isinstance(a, int) and a != b for a, b in zip(shape, result.shape))
                for shape, result in zip(shapes, results)
                if shape  # a scalar, or of unknown rank
            )
        if contradiction:
            results = ReferenceEvaluator(single).run(None, given)
        values.update(zip(node.output, map(np.asarray, results)))
    return [values[x.name] for x in graph.output]
'''

#: What control flow means: for the interpreter, and for stand-alone scripts of models that have any.
RUN_CONTROL = '''\
def control_flow(operator, attributes, inputs, run):
    """Outputs of If, Loop or Scan; ``run`` gives the outputs of the body of that name for arrays of its inputs."""
    if operator == "If":
        return run("then_branch" if inputs[0].item() else "else_branch", [])
    if operator == "Loop":
        count, going, *carried = inputs
        count = None if count is None else count.item()
        going, step, made = np.array(True) if going is None else going, 0, []
        while going.item() and (count is None or step < count):
            going, *results = run("body", [np.array(step, np.int64), going.reshape(()), *carried])
            carried, step = results[: len(carried)], step + 1
            made.append(results[len(carried) :])
        return [*carried, *(np.stack(parts) for parts in zip(*made))]
    several = attributes["num_scan_inputs"]
    carried, xs = inputs[: len(inputs) - several], inputs[len(inputs) - several :]
    axes = attributes.get("scan_input_axes") or [0] * several
    backwards = attributes.get("scan_input_directions") or [0] * several
    xs = [np.moveaxis(x, axis, 0)[:: -1 if back else 1] for x, axis, back in zip(xs, axes, backwards)]
    made = []
    for parts in zip(*xs, strict=True):
        results = run("body", [*carried, *(np.array(part) for part in parts)])
        carried, results = results[: len(carried)], results[len(carried) :]
        made.append(results)
    made = [np.stack(parts) for parts in zip(*made)]
    axes = attributes.get("scan_output_axes") or [0] * len(made)
    backwards = attributes.get("scan_output_directions") or [0] * len(made)
    made = [np.moveaxis(x[:: -1 if back else 1], 0, axis) for x, axis, back in zip(made, axes, backwards)]
    return [*carried, *map(np.ascontiguousarray, made)]


def run_control(node, values, opset, others):
    attributes = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}

    def run(name, inputs):
        body = attributes[name]
        return run_graph(body, {**values, **dict(zip([x.name for x in body.input], inputs))}, opset, others)

    return control_flow(node.op_type, attributes, [values[name] if name else None for name in node.input], run)
'''
