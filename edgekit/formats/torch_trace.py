"""Describes a PyTorch model by running it once on zeros and recording what reaches PyTorch's dispatcher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgekit.artifact import IO
from edgekit.errors import StepError
from edgekit.formats.torch_load import Program, example_feeds, first_line, to_tensors
from edgekit.graph import Graph, Operator, TensorInfo


def trace(program: Program, io: IO) -> Graph:
    """The Graph of ATen operators. MACs are PyTorch's own counts of multiply-adds (torch.utils.flop_counter, half of
    its flops). Batch norms are not folded, so there are more parameters than in ONNX; buffers are not counted."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    module = program.module
    recorder = _Recorder(
        {id(value): name for name, value in (*module.named_parameters(), *module.named_buffers())},
        {id(value) for value in module.parameters()},
        [*module.parameters(), *module.buffers()],
    )

    class Recording(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            count = flop_registry.get(func.overloadpacket)
            flops = 0 if count is None else count(*args, **(kwargs or {}), out_val=result)
            recorder.record(func, args, kwargs or {}, result, int(flops) // 2)
            return result

    names = [tensor.name for tensor in io.inputs]
    given = to_tensors(example_feeds(io.inputs), names)
    inputs = tuple(recorder.index_of(value, name) for name, value in zip(names, given, strict=True))
    try:
        with torch.no_grad(), Recording():
            results = program.run(given)
    except Exception as error:
        raise StepError(f"the model does not run: {first_line(error)}", where=names[0]) from error
    outputs = tuple(recorder.index_of(value, name) for name, value in results.items())
    recorder.name_outputs(dict(zip(outputs, results, strict=True)))
    return Graph("torch", tuple(recorder.tensors), tuple(recorder.operators), inputs, outputs, {"kind": program.kind})


class _Recorder:
    """Operators and tensors in the order they are met. Tensors are known by identity, so all met are kept alive."""

    def __init__(self, constants: dict[int, str], parameters: set[int], alive: list[Any]) -> None:
        self.tensors: list[TensorInfo] = []
        self.operators: list[Operator] = []
        self._indices: dict[int, int] = {}
        self._constants = constants
        self._parameters = parameters
        self._origins = {identity: identity for identity in constants}
        self._counted: set[int] = set()
        self._alive = alive

    def index_of(self, tensor: Any, name: str | None = None) -> int:
        if id(tensor) not in self._indices:
            self._alive.append(tensor)
            self._indices[id(tensor)] = len(self.tensors)
            constant = self._constants.get(id(tensor))
            label = constant or name or f"t{len(self.tensors)}"
            dtype = str(tensor.dtype).removeprefix("torch.")
            self.tensors.append(TensorInfo(label, tuple(tensor.shape), dtype, constant is not None))
        return self._indices[id(tensor)]

    def name_outputs(self, names: dict[int, str]) -> None:
        """Call the model's outputs by their own names; an input or a weight that is one keeps its name."""
        for index, name in names.items():
            if self.tensors[index].name == f"t{index}":
                self.tensors[index] = replace(self.tensors[index], name=name)

    def record(self, func: Any, args: Any, kwargs: Any, result: Any, macs: int) -> None:
        import torch
        from torch.utils import _pytree as pytree

        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        made = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if given and made and func.is_view and id(given[0]) in self._origins:
            # A view of a weight (`linear` transposes it) is still that weight.
            for tensor in made:
                self._alive.append(tensor)
                self._origins[id(tensor)] = self._origins[id(given[0])]
            return
        origins = {self._origins[id(tensor)]: tensor for tensor in given if id(tensor) in self._origins}
        new = [origin for origin in origins if origin in self._parameters and origin not in self._counted]
        self._counted.update(new)
        self.operators.append(
            Operator(
                index=len(self.operators),
                type=str(func.overloadpacket).replace(".", "::"),
                inputs=tuple(self.index_of(tensor) for tensor in given),
                outputs=tuple(self.index_of(tensor) for tensor in made),
                name=f"{func.overloadpacket.__name__}_{len(self.operators)}",
                macs=macs,
                params=sum(origins[origin].numel() for origin in new),
            )
        )
