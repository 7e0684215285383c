"""muster.worker.v1 in Python, generated from the .proto at start-up into a folder that is gone at the end.

Set MUSTER_PROTO where the protos are not at their place in muster's repository.
"""

import os
import pathlib
import sys
import tempfile

from grpc_tools import protoc

_protos = pathlib.Path(os.environ.get("MUSTER_PROTO", pathlib.Path(__file__).parents[2] / "proto"))
_folder = tempfile.TemporaryDirectory(prefix="muster-python-worker-")
_site = "muster/worker/v1/site.proto"
if protoc.main(["protoc", f"-I{_protos}", f"--python_out={_folder.name}", f"--grpc_python_out={_folder.name}", _site]):
    raise SystemExit(f"{_protos / _site} can't be compiled; set MUSTER_PROTO to the folder that holds muster/worker/v1")
sys.path.insert(0, _folder.name)

from muster.worker.v1 import site_pb2 as pb  # noqa: E402
from muster.worker.v1 import site_pb2_grpc as rpc  # noqa: E402

__all__ = ["pb", "rpc"]
