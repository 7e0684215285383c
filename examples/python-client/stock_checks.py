"""Asks an orchestrator's health and reflection with the stock clients of grpcio-health-checking and grpcio-reflection.

Exits 0 only if it is healthy, and reflects the published API: each method of the service, each field of each message.
"""

import argparse
import sys

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from muster.v1 import muster_pb2
from muster.worker.v1 import site_pb2

from muster_client import add_arguments, connect

SERVICE = "muster.v1.Evacuations"
HEALTH = "grpc.health.v1.Health"
TIMEOUT_S = 10.0


def check_health(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        request = health_pb2.HealthCheckRequest(service=service)
        answer = health.Check(request, timeout=TIMEOUT_S)
        expect(answer.status == health_pb2.HealthCheckResponse.SERVING, f"{service!r} is not serving: {answer}")
        watch = health.Watch(request, timeout=TIMEOUT_S)
        first = next(watch)
        watch.cancel()
        expect(first.status == health_pb2.HealthCheckResponse.SERVING, f"{service!r} is watched as {first}")
    try:
        health.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        expect(error.code() == grpc.StatusCode.NOT_FOUND, f"a service that isn't there is {error.code()}")
    else:
        expect(False, "a service that isn't there has a health")


def check_reflection(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    expect({SERVICE, HEALTH} <= services, f"{SERVICE} and {HEALTH} are not both among {sorted(services)}")

    pool = DescriptorPool(database)
    reflected = pool.FindServiceByName(SERVICE)
    published = muster_pb2.DESCRIPTOR.services_by_name[reflected.name]
    methods = [
        {method.name: (method.input_type.full_name, method.output_type.full_name) for method in service.methods}
        for service in (reflected, published)
    ]
    expect(methods[0] == methods[1], f"its methods are {methods[0]}, published are {methods[1]}")
    for file in (muster_pb2.DESCRIPTOR, site_pb2.DESCRIPTOR):
        shapes = [shape(pool.FindFileByName(file.name)), shape(file)]
        for name, fields in shapes[1].items():
            expect(shapes[0].get(name) == fields, f"{name} is {shapes[0].get(name)}, published is {fields}")

    # And as grpcurl does it: a call of which nothing is known but what was reflected.
    method = reflected.methods_by_name["ListEvacuations"]
    request, answer = (message_factory.GetMessageClass(part) for part in (method.input_type, method.output_type))
    call = channel.unary_unary(
        f"/{SERVICE}/{method.name}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )
    call(request(page_size=1), timeout=TIMEOUT_S)


def shape(file: FileDescriptor) -> dict[str, list[tuple[int, str, int]]]:
    """The fields of every message, and the values of every enum, of a file."""

    def fields(message: Descriptor) -> list[tuple[int, str, int]]:
        return [(one.number, one.name, one.type) for one in message.fields]

    messages = {message.full_name: fields(message) for message in file.message_types_by_name.values()}
    enums = file.enum_types_by_name.values()
    return messages | {enum.full_name: [(one.number, one.name, 0) for one in enum.values] for enum in enums}


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"stock checks: {otherwise}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    with connect(parser.parse_args()) as muster:
        check_health(muster.channel)
        check_reflection(muster.channel)
    print("health and reflection are as published")
    return 0


if __name__ == "__main__":
    sys.exit(main())
