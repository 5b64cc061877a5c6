"""How a printed TFLite model is built and run operator by operator, as source text. Imports nothing."""

#: Part of every stand-alone script of a ``.tflite`` model, and what the frontend itself builds models with.
EAGER = '''\
from ai_edge_litert import interpreter as litert, schema_py_generated as schema

ENUMERATIONS = {
    "combiner": "CombinerType",
    "fusedActivationFunction": "ActivationFunctionType",
    "idxOutType": "TensorType",
    "inDataType": "TensorType",
    "kernelType": "LSTMKernelType",
    "mode": "MirrorPadMode",
    "outDataType": "TensorType",
    "outType": "TensorType",
    "outputType": "TensorType",
    "padding": "Padding",
    "quantizedBiasType": "TensorType",
    "weightsFormat": "FullyConnectedOptionsWeightsFormat",
}


class Data(schema.BufferT):
    def Pack(self, builder):  # at an address that kernels may read vectors from
        builder.StartVector(1, len(self.data), 16)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def stored(data):
    if data.dtype.name in ("int4", "uint4"):  # two in a byte
        halves = data.reshape(-1).astype(np.int8).view(np.uint8) & 15
        halves = np.append(halves, np.zeros(halves.size % 2, np.uint8))
        data = halves[::2] | halves[1::2] << 4
    return memoryview(np.ascontiguousarray(data).reshape(-1).view(np.uint8))


def tensor(dtype, shape, scales=None, zeros=0, axis=0, data=None, variable=False):
    made = schema.TensorT(list(shape), getattr(schema.TensorType, dtype.upper()), isVariable=variable, hasRank=True)
    if scales is not None:
        scales = np.atleast_1d(np.array(scales, np.float32))
        zeros = np.array(np.broadcast_to(np.array(zeros, np.int64), scales.shape))
        made.quantization = schema.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=axis)
    made.data = data
    return made


def operator(kind, inputs, outputs, version=1, options="", intermediates=(), **values):
    """``values`` are the fields of the table ``options`` of the schema; inputs that are None are left out."""
    code = getattr(schema.BuiltinOperator, kind)
    made = schema.OperatorT(inputs=inputs, outputs=outputs, intermediates=list(intermediates) or None)
    made.code = schema.OperatorCodeT(min(code, 127), None, int(version), code)
    if options:
        table = getattr(schema, options + "T")()
        for key, value in values.items():
            value = getattr(getattr(schema, ENUMERATIONS[key]), value) if isinstance(value, str) else value
            setattr(table, key, list(value) if isinstance(value, tuple) else value)
        place = ("builtinOptions", schema.BuiltinOptions)
        if not hasattr(place[1], options):
            place = ("builtinOptions2", schema.BuiltinOptions2)
        setattr(made, place[0], table)
        setattr(made, place[0] + "Type", getattr(place[1], options))
    return made


def build(tensors, operators, inputs, outputs):
    """The FlatBuffer of a model; all by name. Inputs are called input_0 and so on in its signature."""
    numbers = {name: number for number, name in enumerate(tensors)}
    numbers[None] = -1
    buffers, codes, made = [schema.BufferT()], {}, []
    for name, item in tensors.items():
        item.name, item.buffer = name, 0
        if item.data is not None and item.data.size:
            item.buffer = len(buffers)
            buffers.append(Data(stored(item.data)))
    for item in operators:
        code = codes.setdefault((item.code.builtinCode, item.code.version), (len(codes), item.code))[0]
        one = schema.OperatorT()
        vars(one).update(vars(item), opcodeIndex=code)
        for side in ("inputs", "outputs", "intermediates"):
            names = getattr(item, side)
            setattr(one, side, None if names is None else [numbers[name] for name in names])
        made.append(one)
    ends = [[numbers[name] for name in dict.fromkeys(names)] for names in (inputs, outputs)]
    maps = [
        [schema.TensorMapT(f"{side}_{index}", numbers[name]) for index, name in enumerate(names)]
        for side, names in (("input", inputs), ("output", outputs))
    ]
    graph = schema.SubGraphT(list(tensors.values()), *ends, made, "main")
    signature = schema.SignatureDefT(*maps, "serving_default", 0)
    model = schema.ModelT(3, [code for _, code in codes.values()], [graph], "", buffers, signatureDefs=[signature])
    size = sum(len(item.data) for item in buffers[1:])
    builder = flatbuffers.Builder(size + 4096 + 512 * len(tensors))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def prepared(artifact):
    """An interpreter that is ready to run, of reference kernels, or the built-in ones where there are none (ELU)."""
    for kernels in (litert.OpResolverType.BUILTIN_REF, litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        try:
            made = litert.Interpreter(model_content=artifact, num_threads=1, experimental_op_resolver_type=kernels)
            break
        except ValueError as error:
            if "Didn't find op" not in str(error) or kernels != litert.OpResolverType.BUILTIN_REF:
                raise
    made.allocate_tensors()
    return made


def single(tensors, item, values):
    """The FlatBuffer of one operator, its operands of the shapes of the values, and the names of those to be fed."""
    names = [name for name in dict.fromkeys(item.inputs) if name is not None]
    fed = [name for name in names if tensors[name].data is None and not tensors[name].isVariable]
    for name in fed:
        tensors[name].shape = list(values[name].shape)
    chosen = {name: tensors[name] for name in [*names, *item.outputs, *(item.intermediates or ())]}
    return build(chosen, [item], fed, item.outputs), fed


def invoked(interpreter, arrays):
    """Outputs for arrays of the inputs, in order."""
    for detail, array in zip(interpreter.get_input_details(), arrays):
        if array.size:
            interpreter.set_tensor(detail["index"], np.ascontiguousarray(array).reshape(array.shape))
    interpreter.invoke()
    return [
        np.zeros(detail["shape"], detail["dtype"]) if 0 in detail["shape"] else interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    ]


def run_operators(tensors, operators, inputs, outputs, arrays):
    """Outputs of a model, its operators run one at a time, each as a model of its own, on reference kernels."""
    values = {name: item.data for name, item in tensors.items() if item.data is not None}
    values.update(zip(inputs, arrays))
    for item in operators:
        artifact, fed = single(tensors, item, values)
        values.update(zip(item.outputs, invoked(prepared(artifact), [values[name] for name in fed])))
    return [values[name] for name in outputs]
'''
