"""The gRPC door: a server with deadlines, health and typed errors, and a channel that rebuilds them."""

from tonearm_kit.grpc.client import channel, ping
from tonearm_kit.grpc.server import serve

__all__ = ["channel", "ping", "serve"]
