"""Owns the contestant gRPC: unary calls over a Unix socket, with protobuf messages described at run time.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import BlockingCalls, check

_SERVICE = "Bench"
_UNBOUNDED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
_CONNECTION_OF_ITS_OWN = (*_UNBOUNDED, ("grpc.use_local_subchannel_pool", 1))
"""Without this option, all channels of a process to one address share a connection."""

_Field = descriptor_pb2.FieldDescriptorProto


def _message_classes(**messages: dict[str, int]) -> dict[str, Any]:
    """Make message classes from their names and the types of their fields."""
    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, (field, type) in enumerate(fields.items(), 1):
            message.field.add(name=field, number=number, type=type, label=_Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.{name}"))
        for name in messages
    }


_classes = _message_classes(
    Pair={"a": _Field.TYPE_INT32, "b": _Field.TYPE_INT32},
    Sum={"sum": _Field.TYPE_INT32},
    Text={"text": _Field.TYPE_STRING},
    Bytes={"data": _Field.TYPE_BYTES},
)
Pair, Sum, Text, Bytes = (_classes[name] for name in ("Pair", "Sum", "Text", "Bytes"))


def _add(request: Any, _context: object) -> Any:
    return Sum(sum=request.a + request.b)


def _echo(request: Any, _context: object) -> Any:
    return Text(text=request.text)


def _echo_bytes(request: Any, _context: object) -> Any:
    return Bytes(data=request.data)


def serve(address: str, ready: Ready) -> None:
    server = grpc.server(ThreadPoolExecutor(), options=_UNBOUNDED)
    methods = {"add": (_add, Pair), "echo": (_echo, Text), "echo_bytes": (_echo_bytes, Bytes)}
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            method, request_deserializer=request.FromString, response_serializer=_serialized
        )
        for name, (method, request) in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_insecure_port(f"unix:{address}")
    server.start()
    ready()
    server.wait_for_termination()


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        self._target = f"unix:{address}"
        self._channels: list[Any] = []
        self._adds: list[Any] = []
        self.connect(1)
        self._stub_add = self._adds[0]
        self._stub_echo = _stub(self._channels[0], "echo", Text)
        self._stub_echo_bytes = _stub(self._channels[0], "echo_bytes", Bytes)
        super().__init__(self._call_add, self._call_echo, self._call_echo_bytes)

    def _call_add(self, a: int, b: int) -> int:
        answer: int = self._stub_add(Pair(a=a, b=b)).sum
        return answer

    def _call_echo(self, text: str) -> str:
        answer: str = self._stub_echo(Text(text=text)).text
        return answer

    def _call_echo_bytes(self, data: bytes) -> bytes:
        answer: bytes = self._stub_echo_bytes(Bytes(data=data)).data
        return answer

    def connect(self, count: int) -> None:
        while len(self._channels) < count:
            channel = grpc.insecure_channel(self._target, options=_CONNECTION_OF_ITS_OWN)
            self._channels.append(channel)
            self._adds.append(_stub(channel, "add", Sum))

    def adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            answers = [add.future(Pair(a=turn, b=place)) for place, add in enumerate(self._adds)]
            for place, answer in enumerate(answers):
                check(answer.result().sum, turn + place)


def _stub(channel: Any, method: str, answer: Any) -> Any:
    return channel.unary_unary(
        f"/{_SERVICE}/{method}", request_serializer=_serialized, response_deserializer=answer.FromString
    )


def _serialized(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
